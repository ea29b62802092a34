"""A folder that keeps the face tracks of video files, so that each file is looked at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from cavsync.atomic import write_bytes_atomically
from cavsync.data.faces.arrays import read_arrays, write_arrays
from cavsync.data.faces.face_clip import FaceClip, read_face_clip
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.faces.track import TYPES, FaceTrack
from cavsync.errors import DataError, MediaError
from cavsync.worker_process import leave_stopping_to_parent

AUDIO_TYPES = {"samples": "<f4", "audio_start_seconds": "<f8", "file_state": "<i8"}
POLL_SECONDS = 0.2
NAME_DIGITS = 32


@dataclass(frozen=True)
class FaceCache:
    """One file for each video: its track and audio (.npz), or why it cannot be used (.json).

    A file whose size or modification time has changed since is looked at again.
    """

    folder: Path

    def load(self, name: str) -> FaceClip:
        """Return the clip of the video file `name`. Raises MediaError where it was rejected, or is not in the cache."""
        found = self._find(name)
        if found is None:
            raise MediaError(f"{name} was changed while its faces were used: start again", reason="missing")
        if isinstance(found, MediaError):
            raise found
        return found

    def fill(
        self,
        names: Sequence[str],
        open_finder: OpenFinder,
        *,
        workers: int,
        progress: Callable[[int, int], None] = lambda *_: None,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Follow the faces of the files that are not in the cache; return False where it was stopped before the end.

        With several workers, `open_finder` is pickled and callers need the `if __name__ == "__main__"` guard.
        Raises DataError where a worker process was killed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in names if self._find(name) is None]
        add = partial(_add, self, open_finder)
        try:
            done = _in_processes(add, missing, workers, is_stopped) if workers > 1 else map(add, missing)
            for number, _ in enumerate(done, start=len(names) - len(missing) + 1):
                progress(number, len(names))
                if is_stopped():
                    return False
        except BrokenProcessPool:
            raise DataError(
                "A worker process was killed, by a lack of memory or a damaged file: start again with fewer workers; "
                "finished clips are kept"
            ) from None
        return not is_stopped()

    def add(self, name: str, open_finder: OpenFinder) -> None:
        """Follow the faces of one file and keep them, or the reason why it cannot be used."""
        state = _file_state(name)
        try:
            clip = read_face_clip(name, open_finder)
        except MediaError as error:
            reject = {"file_state": state, "reason": error.reason, "error": str(error)}
            write_bytes_atomically(self._path(name, ".json"), json.dumps(reject).encode())
            return
        audio = {
            "samples": clip.samples,
            "audio_start_seconds": np.array([clip.audio_start_seconds]),
            "file_state": np.array(state, dtype=np.int64),
        }
        write_bytes_atomically(self._path(name, ".npz"), write_arrays(clip.track.arrays() | audio))

    def _find(self, name: str) -> FaceClip | MediaError | None:
        """Return what is kept about a file in its present state; None if nothing is, or if that is damaged."""
        state, where = _file_state(name), self._path(name, ".npz")
        try:
            arrays = read_arrays(where.read_bytes(), TYPES | AUDIO_TYPES, str(where))
            if arrays["file_state"].tolist() == state and arrays["audio_start_seconds"].size == 1:
                track = FaceTrack.of(arrays, str(where))
                return FaceClip(name, track, arrays["samples"].reshape(-1), float(arrays["audio_start_seconds"][0]))
        except (OSError, MediaError):
            pass
        try:
            reject = json.loads(self._path(name, ".json").read_bytes())
            return MediaError(reject["error"], reason=reject["reason"]) if reject["file_state"] == state else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, name: str, ending: str) -> Path:
        digest = hashlib.sha256(str(Path(name).resolve()).encode(errors="surrogateescape")).hexdigest()
        return self.folder / f"{digest[:NAME_DIGITS]}{ending}"


def _add(cache: FaceCache, open_finder: OpenFinder, name: str) -> None:
    cache.add(name, open_finder)


def _file_state(name: str) -> list[int]:
    """Return size and modification time, which change when a file does; zeros for a missing file."""
    try:
        found = Path(name).stat()
    except OSError:
        return [0, 0]
    return [found.st_size, found.st_mtime_ns]


def _in_processes(
    add: Callable[[str], None], names: Sequence[str], workers: int, is_stopped: Callable[[], bool]
) -> Iterator[None]:
    """Yield once for each finished name; end early where stopped."""
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=leave_stopping_to_parent)
    try:
        pending = {pool.submit(add, name) for name in names}
        while pending and not is_stopped():
            finished, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
