"""Find the file of a data set's row among downloaded media, by the names that download tools give."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cavsync.errors import DataError
from cavsync.media.files import MEDIA_ENDINGS


def media_below(folder: Path) -> list[str]:
    """Every media file below a folder, by its ending: paths relative to it, with slashes, sorted."""
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder, onerror=_refuse):
        for name in names:
            if os.path.splitext(name)[1].lower() in MEDIA_ENDINGS:  # noqa: PTH122 (2 million of them)
                yield Path(parent, name).relative_to(folder).as_posix()


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read ({error.strerror}): make it readable or leave it out") from None


class MediaNames:
    """The media files below a folder by their names without ending."""

    def __init__(self, folder: Path) -> None:
        self._by_stem: dict[str, str] = {}
        for file in media_below(folder):
            self._by_stem.setdefault(PurePosixPath(file).stem, file)

    def __len__(self) -> int:
        return len(self._by_stem)

    def find(self, video_id: str, start_seconds: float, end_seconds: float) -> tuple[str, bool] | None:
        """(file, whether it may be the whole video) of one part of a video; None where there is none."""
        for stem in cut_names(video_id, start_seconds, end_seconds):
            if stem in self._by_stem:
                return self._by_stem[stem], False
        file = self._by_stem.get(video_id)
        return None if file is None else (file, True)


def cut_names(video_id: str, start_seconds: float, end_seconds: float) -> list[str]:
    """Names without ending under which tools save the part of a video from `start_seconds` to `end_seconds`."""
    start, end = f"{start_seconds:g}", f"{end_seconds:g}"
    return [
        f"{video_id}_{int(start_seconds):06d}",
        f"{video_id}_{start_seconds:.3f}",
        f"{video_id}_{start_seconds:.3f}_{end_seconds:.3f}",
        f"{video_id}_{round(start_seconds * 1000)}_{round(end_seconds * 1000)}",
        f"{video_id}_{start}_{end}",
        f"{video_id}_{start}",
    ]
