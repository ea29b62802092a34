"""Decode all clips of a small data set into memory before training, by several processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from cavsync.data.clip import Clip, decode_all
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError

CHUNK_CLIPS = 4


def preload(
    source: ClipSource, img_size: int, *, workers: int, progress: Callable[[int, int], None] | None = None
) -> dict[int, Clip | MediaError]:
    """Clip or rejection of every index. `progress(done, total)` is called as clips arrive."""
    cache: dict[int, Clip | MediaError] = {}
    total = len(source.names)
    jobs = [(source, index, img_size) for index in range(total)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        for index, loaded in enumerate(pool.map(_load, jobs, chunksize=CHUNK_CLIPS)):
            cache[index] = loaded
            if progress is not None:
                progress(index + 1, total)
    return cache


def one_thread() -> None:
    """Initialise a worker process."""
    # The processes share the cores already; threads of their own would only wait for one another.
    torch.set_num_threads(1)


def _load(job: tuple[ClipSource, int, int]) -> Clip | MediaError:
    source, index, img_size = job
    try:
        return decode_all(source.load(index, img_size))
    except MediaError as error:
        return error
