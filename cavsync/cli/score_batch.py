"""The inputs of `cavsync score`, scored one by one; finished scores are kept however the batch ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import print_error
from cavsync.cli.progress import progress_bar
from cavsync.cli.score import STDOUT
from cavsync.file_names import legible, printable

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, FileScore, Outcome, ScoringOptions
    from cavsync.deploy.files.row import FileRow
    from cavsync.deploy.files.score_file import Progress
    from cavsync.deploy.sinks.batch_file import BatchFile

Score = Callable[[str, "Progress"], "FileScore"]
ScoreApart = Callable[[str], "Outcome"]


@dataclass(frozen=True)
class Outputs:
    """The files for the results; None for those not wanted, and `-` for JSON lines on stdout."""

    json_out: str | None
    csv_out: Path | None
    html_out: Path | None
    vtt_out: Path | None

    @property
    def kept(self) -> dict[str, Path | None]:
        """The files that are written from the batch file."""
        json_out = None if self.json_out in (None, STDOUT) else Path(str(self.json_out))
        return {"json_out": json_out, "csv_out": self.csv_out, "html_out": self.html_out}

    def check(self, inputs: Sequence[str]) -> None:
        """Raise ConfigError for a file that cannot be written, or must not: it is an input, or other media."""
        from cavsync.cli.result_files import require_result_files
        from cavsync.deploy.sinks import check_writable

        paths = [path for path in (*self.kept.values(), self.vtt_out) if path is not None]
        for path in paths:
            check_writable(path)
        require_result_files(paths, inputs)


class Batch:
    """Takes results as they come: onto stdout, into the batch file, and as rows for the table."""

    def __init__(self, outputs: Outputs, file: BatchFile | None) -> None:
        self._outputs = outputs
        self.file = file
        self._rows: list[FileRow] = []
        for entry in file or ():
            self._print(entry.objects)

    @property
    def rows(self) -> list[FileRow]:
        """The rows of all files, also of those that were scored before the batch was interrupted."""
        return self._rows if self.file is None else list(self.file.rows.values())

    def has(self, source: str) -> bool:
        """Whether a file was scored before the batch was interrupted."""
        return self.file is not None and self.file.has(source)

    def ended_process(self, source: str) -> bool:
        """Whether an earlier run of the batch was killed, or crashed, while it scored this file."""
        return self.file is not None and self.file.ended_process(source)

    def begun(self, source: str, identity: list[int]) -> AbstractContextManager[None]:
        """Note that a file is scored in this block, so that a crash can be told from other ends."""
        return nullcontext() if self.file is None else self.file.begun(source, identity)

    def add(self, source: str, identity: list[int], outcome: Outcome) -> None:
        """Keep the result of a file. DataError where there is no room for it."""
        from cavsync.deploy import FileScore
        from cavsync.deploy.files.row import row_of
        from cavsync.deploy.sinks import objects_of, vtt_text, write_text_atomically
        from cavsync.deploy.sinks.batch_outputs import entry_of

        if self._outputs.vtt_out is not None and isinstance(outcome, FileScore):
            write_text_atomically(self._outputs.vtt_out, vtt_text(outcome))
        if self.file is None:
            self._rows.append(row_of(outcome))
            self._print(objects_of(outcome))
            return
        entry = entry_of(outcome, self.file.next_place, with_section=self._outputs.html_out is not None)
        self.file.add(source, identity, entry)
        self._print(entry.objects)

    def finish(self, *, is_complete: bool) -> None:
        """Write the outputs; the batch file is kept until all inputs are scored and written."""
        from cavsync.deploy.sinks.batch_outputs import write_outputs
        from cavsync.errors import ConfigError

        if self.file is None:
            return
        try:
            if self.rows:
                write_outputs(self.file, **self._outputs.kept)
        except ConfigError as error:
            raise ConfigError(f"{error}; all scores are kept in {self.file.path}, for --resume") from None
        if is_complete:
            self.file.remove()

    def _print(self, objects: Sequence[dict[str, Any]]) -> None:
        from cavsync.deploy.sinks.text import json_text

        if self._outputs.json_out == STDOUT:
            # Bytes: JSON is UTF-8 whatever the terminal's encoding.
            click.echo("".join(json_text(item) + "\n" for item in objects).encode("utf-8"), nl=False)


@contextmanager
def open_batch(
    outputs: Outputs, opened: Bundle, scoring: ScoringOptions, engine: str, *, resume: bool
) -> Iterator[Batch]:
    """Open the batch file next to the first output, if there is one. Raises ConfigError and DataError as it does."""
    from cavsync.deploy.sinks.batch_file import BatchFile, batch_path

    first = next((path for path in outputs.kept.values() if path is not None), None)
    if first is None:
        if resume:
            raise click.UsageError("--resume needs the --json, --csv or --html file of the batch.")
        yield Batch(outputs, None)
        return
    settings = _settings(opened, scoring, engine, with_report=outputs.html_out is not None)
    if resume and not batch_path(first).exists():
        click.echo(printable(f"no interrupted batch is next to {first}: every input is scored"), err=True)
    with BatchFile(batch_path(first), settings, resume=resume) as file:
        yield Batch(outputs, file)


def _settings(opened: Bundle, scoring: ScoringOptions, engine: str, *, with_report: bool) -> dict[str, Any]:
    """Everything by which the results of two runs may differ, by the name that a message gives it."""
    from hashlib import sha256

    from cavsync import __version__

    return {
        "version of cavsync": __version__,
        "bundle": sha256(opened.manifest.to_bytes()).hexdigest(),
        "--engine": engine,
        "choice of --html": with_report,
        **asdict(scoring),
    }


def score_all(
    sources: Sequence[str], batch: Batch, score: Score, score_apart: ScoreApart, check: Callable[[], None]
) -> BaseException | None:
    """Score every input that is not scored yet; `check` raises KeyboardInterrupt after Ctrl-C or SIGTERM.

    A file that ended an earlier process of the batch is scored by `score_apart`, which survives that.

    Returns what ended the batch early: one of these signals, a full disk, or an error that all files would meet.
    """
    from cavsync.deploy import FileFailure
    from cavsync.deploy.sinks.batch_file import identity_of
    from cavsync.errors import BundleError, CavsyncError, ConfigError

    wanted = [source for source in sources if not batch.has(source)]
    first = len(sources) - len(wanted) + 1
    if first > 1:
        click.echo(f"{first - 1} of {len(sources)} inputs were scored before", err=True)
    try:
        for index, source in enumerate(wanted, start=first):
            outcome: Outcome
            identity = identity_of(source)
            name = f"{index}/{len(sources)} {Path(source).name}"
            with progress_bar(name) as on_progress, batch.begun(source, identity):
                try:
                    if batch.ended_process(source):
                        click.echo(printable(f"{name} ended an earlier run: scored in a process of its own"), err=True)
                        outcome = score_apart(source)
                    else:
                        outcome = score(source, _checked(on_progress, check))
                except (BundleError, ConfigError) as error:
                    return error
                except CavsyncError as error:
                    outcome = FileFailure(legible(source), str(error))
            if isinstance(outcome, FileFailure):
                print_error(outcome.error)
            batch.add(source, identity, outcome)
            check()
    except (KeyboardInterrupt, CavsyncError) as error:
        return error
    return None


def _checked(on_progress: Progress, check: Callable[[], None]) -> Progress:
    def progress(done_seconds: float, declared_seconds: float | None) -> None:
        check()
        on_progress(done_seconds, declared_seconds)

    return progress
