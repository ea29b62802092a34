"""Media files, recognised by their name."""

from __future__ import annotations

from pathlib import Path

from cavsync.atomic import is_leftover

MEDIA_ENDINGS = frozenset(
    (
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
        *(".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
    )
)


def find_media(folder: Path) -> list[Path]:
    """Return every file below `folder` that ends in one of `MEDIA_ENDINGS`, sorted by path.

    Files that a killed process left unfinished are skipped.
    """
    found = (path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_ENDINGS and path.is_file())
    return sorted(path for path in found if not is_leftover(path.name))
