"""Decode all clips of a small data set into memory before training."""

from __future__ import annotations

from collections.abc import Callable

from cavsync.data.clip import Clip, decode_all
from cavsync.data.parallel import map_in_processes
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError


def preload(
    source: ClipSource, img_size: int, *, workers: int, progress: Callable[[int, int], None] | None = None
) -> dict[int, Clip | MediaError]:
    """Return each clip, or the error that rejects it, by index; `progress(done, total)` counts clips."""
    jobs = [(source, index, img_size) for index in range(len(source.names))]
    return dict(enumerate(map_in_processes(_load, jobs, workers=workers, progress=progress)))


def _load(job: tuple[ClipSource, int, int]) -> Clip | MediaError:
    source, index, img_size = job
    try:
        return decode_all(source.load(index, img_size))
    except MediaError as error:
        return error
