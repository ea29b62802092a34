"""Media files, recognised by their name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cavsync.errors import MediaError

MEDIA_ENDINGS = frozenset(
    (
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
        *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    )
)


OnUnreadable = Callable[[str, str], None]
"""Called with the path of a folder and with a sentence that says why it could not be listed."""


def is_media_name(name: str) -> bool:
    """Return whether a path or name ends in one of `MEDIA_ENDINGS`."""
    # Not pathlib: data sets and archives have millions of files.
    return os.path.splitext(name)[1].lower() in MEDIA_ENDINGS  # noqa: PTH122


def media_names(folder: Path, on_unreadable: OnUnreadable) -> Iterator[str]:
    """Yield the paths below `folder` that end in one of `MEDIA_ENDINGS`, among them pipes and links that lead nowhere.

    Hidden files and folders are skipped: those of a Mac (`._*`), and files that a killed process left unfinished.
    Folders behind links are skipped. MediaError if `folder` itself cannot be listed.
    """

    def failed(error: OSError) -> None:
        sentence = unlistable(error)
        if error.filename == str(folder):
            raise MediaError(sentence, reason="unreadable")
        on_unreadable(str(error.filename), sentence)

    for parent, folders, names in os.walk(folder, onerror=failed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (f"{parent}/{name}" for name in names if is_media_name(name) and not name.startswith("."))


def unlistable(error: OSError) -> str:
    """Return a sentence on a folder that could not be listed."""
    return f"{error.filename} cannot be listed ({error.strerror}): check its permissions, or leave it out"


def find_media(folder: Path, on_unreadable: OnUnreadable | None = None) -> list[Path]:
    """Return every file below `folder` that ends in one of `MEDIA_ENDINGS`, sorted by path; see `media_names`.

    A folder that cannot be listed is given to `on_unreadable`, or raises MediaError: nothing is left out silently.
    """

    def refuse(_: str, sentence: str) -> None:
        raise MediaError(sentence, reason="unreadable")

    found = map(Path, media_names(folder, on_unreadable or refuse))
    return sorted(path for path in found if path.is_file())


def is_shard_folder(path: Path) -> bool:
    """Return whether `path` is a folder that holds tars and no media files."""
    # Not Path.is_dir, which raises for a name that is too long.
    if not os.path.isdir(path):  # noqa: PTH112
        return False
    endings = {entry.suffix.lower() for entry in path.iterdir()}
    return ".tar" in endings and not endings & MEDIA_ENDINGS
