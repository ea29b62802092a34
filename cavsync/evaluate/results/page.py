"""One HTML page for a result: no script, no external file; in the style of the sync report."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from cavsync.atomic import write_text_atomically
from cavsync.deploy.sinks.html import page_environment
from cavsync.errors import DataError
from cavsync.evaluate.results.plots import draw
from cavsync.evaluate.results.result import EvalResult, Table, shown
from cavsync.evaluate.results.table import holds_numbers, metrics_table

MAX_REJECTS = 50


@dataclass(frozen=True)
class EmbeddedFile:
    """A picture inside the page, or a link to a video file."""

    title: str
    file: str
    uri: str | None


def write_page(result: EvalResult, path: Path | str, folder: Path | str | None = None) -> None:
    """Write the page atomically; `folder` holds the pictures, by default the folder of the page.

    Raises ConfigError where it cannot be written, DataError for a picture that is missing.
    """
    write_text_atomically(path, page_text(result, Path(path).parent if folder is None else Path(folder)))


def page_text(result: EvalResult, folder: Path) -> str:
    """The page; everything in it is escaped. DataError for a picture that is missing from `folder`."""
    environment = page_environment(Path(__file__).parent)
    environment.filters["shown"] = shown
    environment.globals["holds_numbers"] = holds_numbers
    return environment.get_template("page.html.j2").render(
        result=result,
        tables=result.tables or [metrics_table(result)],
        metrics=metrics_table(result) if result.tables else Table(title="", columns=[], rows=[]),
        plots=[draw(plot) for plot in result.plots],
        pictures=[_embedded(picture.title, picture.file, folder) for picture in result.pictures],
        protocol=[(name, _plain(value)) for name, value in result.protocol.items()],
        rejects=list(result.rejects.items())[:MAX_REJECTS],
    )


def _embedded(title: str, file: str, folder: Path) -> EmbeddedFile:
    kind = mimetypes.guess_type(file)[0] or ""
    if not kind.startswith("image/"):
        return EmbeddedFile(title, file, None)
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise DataError(
            f"{folder / file} cannot be read ({error.strerror}): write the page into the folder of its images"
        ) from None
    return EmbeddedFile(title, file, f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}")


def _plain(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_plain(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(value)
