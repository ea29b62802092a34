"""A sync test as JSON lines: a clip per line with its true offset and the trials that are made of it.

Benchmarks such as AV-SyncBench are lists of clips and shifts; with the trials written down, others can repeat them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cavsync.atomic import write_text_atomically
from cavsync.errors import DataError
from cavsync.records import problem

MAX_OFFSET_MS = 10_000.0
Offset = Annotated[float, Field(ge=-MAX_OFFSET_MS, le=MAX_OFFSET_MS)]


class ManifestLine(BaseModel):
    """One clip. `path` is relative to the manifest's folder; `audio_offset_ms` > 0 means that its audio is early.

    injected_offsets_ms, classes: the trials, drawn anew where they are absent. grid_shift: where the truth lies between
    two points of the grid of lags, in hops. Entries that are not known here are kept for --only.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    path: Annotated[str, Field(min_length=1)]
    kind: str = "clips"
    source: str = ""
    audio_offset_ms: Offset = 0.0
    generated: bool = False
    injected_offsets_ms: Annotated[tuple[Offset, ...], Field(min_length=1)] | None = None
    classes: tuple[Annotated[int, Field(ge=0, le=20)], ...] | None = None
    grid_shift: Annotated[float, Field(ge=-0.5, le=0.5)] | None = None


def read_manifest(path: Path) -> list[ManifestLine]:
    """The lines of a manifest; empty ones are passed over. DataError names the first line that does not fit."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): give JSON lines in UTF-8") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(ManifestLine.model_validate_json(line))
        except ValidationError as error:
            raise DataError(
                f"Line {number} of {path} {problem(error)}, expected an object with a path: correct it"
            ) from None
    return found


def write_manifest(path: Path, lines: Sequence[ManifestLine]) -> None:
    """Write the lines, whole or not at all. ConfigError where that cannot be."""
    write_text_atomically(path, "".join(line.model_dump_json(exclude_none=True) + "\n" for line in lines))


def relative_path(clip: Path, manifest: Path) -> str:
    """Path of a clip as a manifest beside or above it names it."""
    return Path(os.path.relpath(clip.resolve(), manifest.resolve().parent)).as_posix()
