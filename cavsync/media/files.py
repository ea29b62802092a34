"""Media files, recognised by their name."""

from __future__ import annotations

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
