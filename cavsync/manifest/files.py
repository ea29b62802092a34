"""The manifest's list of the bundle's files, with the limit of every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval, Len

from cavsync.records import Record, Rule

MAX_FILES = 256
MAX_FILE_BYTES = 16 << 30
MAX_BUNDLE_BYTES = 64 << 30
MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class FileEntry(Record):
    """Size and hash of a file of the bundle."""

    sha256: str
    size_bytes: Annotated[int, Interval(ge=0, le=MAX_FILE_BYTES)]


def _stays_inside(name: str) -> bool:
    """Whether a name cannot lead out of the folder on any system: Windows has colons after drives, before streams."""
    return (
        name not in ("", ".", "..")
        and name.isprintable()
        and not set(name) & set("/\\:")
        and len(name.encode()) <= MAX_NAME_BYTES
    )


FileName = Annotated[str, Rule(_stays_inside, "should name a plain file inside the bundle")]
FILES_RULES = (
    # Some file systems ignore the case of names.
    Rule(lambda files: len({name.casefold() for name in files}) == len(files), "should not differ in case alone"),
    Rule(
        lambda files: sum(entry.size_bytes for entry in files.values()) <= MAX_BUNDLE_BYTES,
        f"should have at most {MAX_BUNDLE_BYTES} bytes in all",
    ),
)
Files = Annotated[dict[FileName, FileEntry], Len(0, MAX_FILES), *FILES_RULES]
"""What each file of the bundle is, by its name."""
