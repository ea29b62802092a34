"""Media files, recognised by their name."""

from __future__ import annotations

import os
from pathlib import Path

from cavsync.file_names import is_hidden

MEDIA_ENDINGS = frozenset(
    (
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
        *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    )
)


def find_media(folder: Path) -> list[Path]:
    """Return every file below `folder` that ends in one of `MEDIA_ENDINGS`, sorted by path.

    Hidden files and folders are skipped: those of a Mac (`._*`), and files that a killed process left unfinished.
    """
    found = (path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_ENDINGS)
    return sorted(path for path in found if not is_hidden(path, folder) and path.is_file())


def is_shard_folder(path: Path) -> bool:
    """Return whether `path` is a folder that holds tars and no media files."""
    # Not Path.is_dir, which raises for a name that is too long.
    if not os.path.isdir(path):  # noqa: PTH112
        return False
    endings = {entry.suffix.lower() for entry in path.iterdir()}
    return ".tar" in endings and not endings & MEDIA_ENDINGS
