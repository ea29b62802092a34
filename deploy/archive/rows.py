"""One file's rows of the data set: its verdict, its windows and its events."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cavsync.deploy.archive.sources import Source
from cavsync.deploy.archive.storage import Version, opened
from cavsync.deploy.files.row import FAILED
from cavsync.deploy.files.score_file import FileScore, score_file
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.errors import BundleError, CavsyncError, ConfigError
from cavsync.file_names import legible

JSON_FIELDS = ("path_share", "media", "versions")
"""Objects whose entries differ from file to file, kept as JSON text."""


@dataclass(frozen=True)
class FileRows:
    """The rows of one file; a failed one has a verdict of the state `failed` with its `error`, and nothing else.

    The values are those of the objects that `cavsync score --json` writes.
    """

    verdict: dict[str, Any]
    windows: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The file's name."""
        return str(self.verdict["source"])

    @property
    def error(self) -> str | None:
        """Why the file could not be scored."""
        error: str | None = self.verdict.get("error")
        return error


def failed(source: Source, error: str, version: Version | None = None) -> FileRows:
    """Return the rows of a file that could not be scored."""
    version = version or source.version
    verdict = {"source": source.row_name, "state": FAILED, "error": legible(error)}
    return FileRows({**verdict, "size_bytes": version.size_bytes, "etag": version.etag})


def rows_of(source: Source, bundle: Bundle, options: ScoringOptions, on_progress: Callable[[], None]) -> FileRows:
    """Score a file; what is wrong with it becomes its verdict.

    `on_progress` is called again and again while the file is read.

    Raises:
        BundleError, ConfigError: all files would meet this error.
    """
    version = source.version
    try:
        with opened(source.name, on_progress) as (file, version):
            score = score_file(source.name, bundle, options, file=file, on_progress=lambda *_: on_progress())
        return _rows(source.row_name, score, version)
    except (BundleError, ConfigError):
        raise
    except CavsyncError as error:
        return failed(source, str(error), version)
    except MemoryError:
        return failed(source, f"{source.name} needs more memory than there is: use fewer --workers", version)
    except Exception as error:  # noqa: BLE001 - one file of a million must not end the archive
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
        text = f"{source.name} meets a defect ({type(error).__name__}: {error}{place}): please report it"
        return failed(source, " ".join(text.split()), version)


def _rows(name: str, score: FileScore, version: Version) -> FileRows:
    verdict = {**score.summary.to_dict(), "source": name}
    events = [{"source": name, **event} for event in verdict.pop("events")]
    bundle = verdict.pop("bundle")
    verdict |= {name: json.dumps(verdict[name], sort_keys=True) for name in JSON_FIELDS}
    verdict |= {"size_bytes": version.size_bytes, "etag": version.etag, "bundle_name": bundle["name"]}
    del verdict["kind"]
    windows = [{"source": name, **record.to_dict()} for record in score.records]
    return FileRows(verdict, windows, events)
