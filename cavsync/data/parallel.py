"""Apply a function to every clip of a source in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

import torch

from cavsync.data.clip import Clip, decode_all
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.worker_process import leave_stopping_to_parent

CHUNK_CLIPS = 4

Result = TypeVar("Result")


def map_clips(
    function: Callable[[Clip], Result],
    source: ClipSource,
    img_size: int,
    *,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Result | MediaError]:
    """Yield `function(clip)` of each clip in order, or the error that rejects the clip.

    `progress(done, total)` is called when the caller is done with a clip. function, source and results are pickled.
    Callers need the usual `if __name__ == "__main__"` guard.
    """
    job, total = partial(_load, function, source, img_size), len(source.names)
    with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn"), initializer=_start_worker) as pool:
        for done, result in enumerate(pool.map(job, range(total), chunksize=CHUNK_CLIPS), start=1):
            yield result
            if progress is not None:
                progress(done, total)


def preload(
    source: ClipSource,
    img_size: int,
    *,
    workers: int,
    keep_samples: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, Clip | MediaError]:
    """Decode a small data set into memory (see `decode_all`): each clip, or the error that rejects it, by index."""
    decode = partial(decode_all, keep_samples=keep_samples)
    return dict(enumerate(map_clips(decode, source, img_size, workers=workers, progress=progress)))


def _load(function: Callable[[Clip], Result], source: ClipSource, img_size: int, index: int) -> Result | MediaError:
    try:
        return function(source.load(index, img_size))
    except MediaError as error:
        return error


def _start_worker() -> None:
    leave_stopping_to_parent()
    use_one_thread()


def use_one_thread(_worker: int = 0) -> None:
    """Compute with one thread in a worker process: the processes already use all cores."""
    torch.set_num_threads(1)
