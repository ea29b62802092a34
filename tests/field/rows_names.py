"""Files with every name that a file system allows, and some that it does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from situation import Repair, Situation

ZERO_OFFSET_MS = 0.0


def named(name: bytes | str, folder_name: bytes | str = b"") -> Callable[[Path, Path], Path]:
    """Return a `write` that copies the base clip to this name, in a folder of its own if that has a name too."""

    def write(base: Path, folder: Path) -> Path:
        path = folder / os.fsdecode(folder_name) / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        shutil.copy(base, path)
        return path

    return write


def absent(name: str) -> Callable[[Path, Path], Path]:
    """Return a `write` that makes nothing."""
    return lambda _, folder: folder / name


def scored(name: str, write: Callable[[Path, Path], Path], *, says: str | None = None) -> Situation:
    """A row whose file is scored and copied like any other."""
    return Situation(name, write, ZERO_OFFSET_MS, says=says, repair=Repair())


SITUATIONS = [
    scored("name with a time", named("12:30 meeting.mp4"), says="12:30 meeting.mp4"),
    scored("name like a drive", named("C:clip.mp4")),
    scored("name like the protocol concat", named("concat:x.mp4")),
    scored("name like the protocol pipe", named("pipe:0.mp4")),
    scored("name like the protocol file", named("file:clip.mp4")),
    scored("name like an address", named("http:clip.mp4?a=b#c.mp4")),
    scored("folder like a protocol", named("clip.mp4", "subfile,,start,0:")),
    scored("name like a sequence of images", named("clip%03d.mp4")),
    scored("name with a leading dash", named("-i clip.mp4")),
    scored("name that is not UTF-8", named(b"caf\xe9 \xff\xfe.mp4"), says=r"caf\\\\xe9 \\\\xff\\\\xfe\.mp4"),
    scored("folder that is not UTF-8", named("clip.mp4", b"\xe4\xf6\xfc"), says=r"\\\\xe4\\\\xf6\\\\xfc/clip\.mp4"),
    scored("name of 255 bytes", named("x" * 251 + ".mp4")),
    scored("name with an emoji", named("\N{FILM FRAMES} caf\u00e9.mp4"), says="\N{FILM FRAMES}"),
    scored("name with quotes", named('it\'s "here" `now` $(x) %s {y}.mp4')),
    scored("name with a newline", named("one\ntwo.mp4"), says=r"one\\ntwo"),
    scored("name with control characters", named("\x1b[31mred\x07\r.mp4")),
    scored("name with backslashes", named("a\\b\\x41.mp4"), says=r"a\\\\b\\\\x41"),
    scored("name with a space at each end", named(" clip .mp4")),
    scored("hidden file that is named", named("._clip.mp4")),
    Situation("name that is only an ending", named(".mp4"), ZERO_OFFSET_MS, repair=Repair(ending=".mp4")),
    Situation("name of 300 letters", absent("y" * 296 + ".mp4"), None, says="cannot be opened .File name too long."),
    Situation("name that nothing has", absent("12:30 meeting.mp4"), None, says="does not exist"),
    Situation("name of a folder", lambda _, folder: folder, None, says="is a folder"),
]
