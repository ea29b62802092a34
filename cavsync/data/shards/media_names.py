"""Find the downloaded file of a data set's row by the names that download tools give their files."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from cavsync.errors import DataError
from cavsync.media.files import media_names


def media_below(folder: Path) -> list[str]:
    """Return every media file below a folder, judged by its ending: paths relative to it with slashes, sorted.

    Hidden files and folders are skipped.
    """

    def refuse(_: str, sentence: str) -> None:
        raise DataError(sentence)

    # Not pathlib: data sets have two million files.
    return sorted(name[len(str(folder)) + 1 :].replace(os.sep, "/") for name in media_names(folder, refuse))


class MediaNames:
    """The media files below a folder, looked up by name without ending."""

    def __init__(self, folder: Path) -> None:
        self._by_stem: dict[str, str] = {}
        for file in media_below(folder):
            self._by_stem.setdefault(PurePosixPath(file).stem, file)

    def __len__(self) -> int:
        return len(self._by_stem)

    def find(self, video_id: str, start_seconds: float, end_seconds: float) -> tuple[str, bool] | None:
        """Find the file of one part of a video: (file, whether it may be the whole video), or None."""
        for stem in cut_names(video_id, start_seconds, end_seconds):
            if stem in self._by_stem:
                return self._by_stem[stem], False
        file = self._by_stem.get(video_id)
        return None if file is None else (file, True)


def cut_names(video_id: str, start_seconds: float, end_seconds: float) -> list[str]:
    """Return the names, without ending, that tools give to a video's part from `start_seconds` to `end_seconds`."""
    start, end = f"{start_seconds:g}", f"{end_seconds:g}"
    return [
        f"{video_id}_{int(start_seconds):06d}",
        f"{video_id}_{start_seconds:.3f}",
        f"{video_id}_{start_seconds:.3f}_{end_seconds:.3f}",
        f"{video_id}_{round(start_seconds * 1000)}_{round(end_seconds * 1000)}",
        f"{video_id}_{start}_{end}",
        f"{video_id}_{start}",
    ]
