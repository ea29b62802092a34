"""A row of the corpus of field files: how a file comes about, what its score must be, and what a repair must do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Write = Callable[[Path, Path], Path]
"""A function of the base clip and an empty folder that writes a file there and returns its path."""


@dataclass(frozen=True)
class Repair:
    """What `fix_file` must do with the file: refuse, or keep all that the input has (see `probe.py`).

    Args:
        ending: that of the output, with the dot; None takes the input's.
        refusal: regular expression of the message, where nothing may be written.
        notes: regular expression that one of the notes must match; None where there must be none.
        offset_ms: the offset to remove.
        moved: indices of the audio streams that move; None where all do.
        loses: names of the properties in `probe.Probe` that the output cannot keep, which a note must tell.
        options: further arguments of `fix_file`.
    """

    ending: str | None = None
    refusal: str | None = None
    notes: str | None = None
    offset_ms: float = 300.0
    moved: tuple[int, ...] | None = None
    loses: frozenset[str] = frozenset()
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Situation:
    """One file of the corpus.

    Args:
        name: the row's name, unique in the corpus.
        write: makes the file from the base clip (H.264 with reordered frames and AAC, 6 s, in sync) in an empty folder
            and returns its path; skips the test with a reason if it needs a program that is absent.
        offset_ms: the true offset (> 0: the audio is early); None where the file is refused or undetermined.
        says: regular expression found in the refusal, or in the summary as JSON; None where nothing need be said.
        options: arguments of `score_file`.
        repair: what `fix_file` must do; None where it is not tried.
    """

    name: str
    write: Write
    offset_ms: float | None
    says: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    repair: Repair | None = None


def all_situations() -> list[Situation]:
    """Return the rows of every module `rows_*.py` in this folder."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("rows_*.py"))
    return [row for module in modules for row in importlib.import_module(module).SITUATIONS]


def ffmpeg(*arguments: str | Path) -> None:
    """Run the ffmpeg program, which may replace its output; skips the test if it is absent."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program")
    command = [program, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def converted(name: str, *options: str) -> Write:
    """Return a `write` that runs `ffmpeg -i BASE OPTIONS NAME`; "CLIP" among the options is the base clip again."""

    def write(base: Path, folder: Path) -> Path:
        ffmpeg("-i", base, *(base if option == "CLIP" else option for option in options), folder / name)
        return folder / name

    return write
