"""A sync test as JSON lines: one clip per line, with its true offset and its trials.

Benchmarks such as AV-SyncBench are lists of clips and shifts; with the trials in a file, others can repeat them.
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


class TrialListLine(BaseModel):
    """One clip. `path` is relative to the manifest's folder; `audio_offset_ms` > 0 means that its audio is early.

    source: the footage that it comes from; group: clips that depend on each other. injected_offsets_ms, classes: the
    trials; those of the command if absent. grid_shift: the distance of the true lag of the classes from the grid, in
    hops. Other entries are kept for --only.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    path: Annotated[str, Field(min_length=1)]
    kind: str = "clips"
    source: str = ""
    group: str = ""
    audio_offset_ms: Offset = 0.0
    generated: bool = False
    injected_offsets_ms: Annotated[tuple[Offset, ...], Field(min_length=1)] | None = None
    classes: tuple[Annotated[int, Field(ge=0, le=20)], ...] | None = None
    grid_shift: Annotated[float, Field(ge=-0.5, le=0.5)] | None = None


def read_trial_list(path: Path) -> list[TrialListLine]:
    """Read the lines of a manifest, except empty ones. Raises DataError that names the first invalid line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): give JSON lines in UTF-8") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(TrialListLine.model_validate_json(line))
        except ValidationError as error:
            raise DataError(
                f"Line {number} of {path} {problem(error)}, expected an object with a path: correct it"
            ) from None
    return found


def write_trial_list(path: Path, lines: Sequence[TrialListLine]) -> None:
    """Write the lines atomically. Raises ConfigError if the file cannot be written."""
    write_text_atomically(path, "".join(line.model_dump_json(exclude_none=True) + "\n" for line in lines))


def relative_path(clip: Path, manifest: Path) -> str:
    """Return the path of a clip relative to the folder of a manifest."""
    return Path(os.path.relpath(clip.resolve(), manifest.resolve().parent)).as_posix()
