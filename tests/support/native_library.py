"""libcavsync through ctypes: all that `cavsync.h` has and `cavsync.deploy.native` leaves out, such as summaries.

CAVSYNC_NATIVE_BUILD names the folder of the build; `make native-test` sets it.
"""

from __future__ import annotations

import ctypes as c
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cavsync.deploy.native import Library
from cavsync.deploy.native_structures import (
    CAUSES,
    PATHS,
    STATES,
    BundleOptions,
    ChangeOfEvent,
    Event,
    Frame,
    Options,
    Record,
    SeenFace,
)
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import WHOLE

CAPACITY = 64


def native_build() -> Path:
    """Return the folder of the built library; skip the test where there is none."""
    folder = os.environ.get("CAVSYNC_NATIVE_BUILD")
    if not folder:
        pytest.skip("CAVSYNC_NATIVE_BUILD is not set: run `make native-test`")
    return Path(folder)


class Summary(c.Structure):
    _fields_ = [
        ("size", c.c_size_t),
        ("score", Record),
        *[(name, c.c_double) for name in ("early_limit_ms", "late_limit_ms", "duration_seconds")],
        *[(name, c.c_double) for name in ("drift_ms_per_minute", "worst_offset_ms", "undetermined_share")],
        *[(name, c.c_size_t) for name in ("num_windows", "num_ignored_frames", "num_events")],
        ("is_varying", c.c_int32),
        ("face_share", c.c_double),
        ("num_faces", c.c_int32),
        ("face", SeenFace),
    ]


class NativeError(Exception):
    """A status other than 0, with the library's sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class NativeLibrary(Library):
    """The library of a build; its errors keep their status."""

    def __init__(self, build: Path) -> None:
        super().__init__(str(build / "libcavsync.so"))

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status; NativeError unless that is 0."""
        status = getattr(self.functions, f"cavsync_{name}")(*arguments)
        if status:
            raise NativeError(status, self.functions.cavsync_last_error().decode())

    def open_bundle(self, path: Path, *, engine: str | None = None, threads: int = 0) -> c.c_void_p:
        """Open a bundle; it is never closed."""
        bundle, options = c.c_void_p(), self.initialised(BundleOptions(), "bundle_options")
        options.engine, options.threads = None if engine is None else engine.encode(), threads
        self.call("bundle_open", str(path).encode(), c.byref(options), c.byref(bundle))
        return bundle


class NativeScorer:
    """A scorer of the library; its records are dictionaries with the fields of `SyncScore`."""

    def __init__(self, library: NativeLibrary, bundle: c.c_void_p, *, path: str = WHOLE, **options: Any) -> None:
        self._library = library
        given = library.initialised(Options(), "options")
        given.path = PATHS.index(path)
        for name, value in options.items():
            setattr(given, name, value.encode() if isinstance(value, str) else value)
        self._scorer = c.c_void_p()
        library.call("scorer_create", bundle, c.byref(given), c.byref(self._scorer))

    def close(self) -> None:
        """Release the scorer."""
        self._library.functions.cavsync_scorer_destroy(self._scorer)

    def push_video(self, rgb: NDArray[np.uint8], *, pts_seconds: float) -> None:
        """Push one frame (H, W, 3)."""
        frame, pixels = Frame(), np.ascontiguousarray(rgb)
        self._library.functions.cavsync_frame_init(c.byref(frame))
        frame.height, frame.width = pixels.shape[:2]
        frame.planes[0], frame.strides[0] = pixels.ctypes.data, 3 * frame.width
        self._library.call("scorer_push_video", self._scorer, c.byref(frame), c.c_double(pts_seconds))

    def push_audio(self, samples: NDArray[Any], *, pts_seconds: float, sample_rate_hz: int = 16_000) -> None:
        """Push audio (n,) or (n, channels), float32 or int16."""
        values = np.ascontiguousarray(samples)
        channels = 1 if values.ndim == 1 else values.shape[1]
        self._library.call(
            "scorer_push_audio",
            self._scorer,
            c.c_void_p(values.ctypes.data),
            int(values.dtype == np.int16),
            c.c_size_t(len(values)),
            channels,
            sample_rate_hz,
            c.c_double(pts_seconds),
        )

    def process(self, most: int | None = None) -> list[dict[str, Any]]:
        """Return the decisions that are due, at most so many of them."""
        capacity = CAPACITY if most is None else most
        records, faces, count = (Record * capacity)(), (SeenFace * capacity)(), c.c_size_t(capacity)
        found: list[dict[str, Any]] = []
        while count.value == capacity and (most is None or not found):
            self._library.call(
                "scorer_process_faces", self._scorer, records, faces, c.c_size_t(capacity), c.byref(count)
            )
            found += [plain_record(*pair) for pair in zip(records[: count.value], faces, strict=False)]
        return found

    def take_events(self, capacity: int = CAPACITY) -> list[EventChange]:
        """Return at most so many beginnings and ends of events."""
        changes, count = (ChangeOfEvent * CAPACITY)(), c.c_size_t()
        self._library.call("scorer_take_events", self._scorer, changes, c.c_size_t(capacity), c.byref(count))
        return [change.to_change() for change in changes[: count.value]]

    def flush(self) -> list[dict[str, Any]]:
        """End the stream; return the remaining decisions."""
        self._library.call("scorer_flush", self._scorer)
        return self.process()

    def reset(self) -> None:
        """Begin a new stream."""
        self._library.call("scorer_reset", self._scorer)

    def summarise(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the summary and the events."""
        summary, events = Summary(), (Event * CAPACITY)()
        self._library.functions.cavsync_summary_init_sized(c.byref(summary), c.c_size_t(c.sizeof(summary)))
        self._library.call("scorer_summarise", self._scorer, c.byref(summary), events, c.c_size_t(CAPACITY))
        numbers = {
            name: number(getattr(summary, name))
            for name, _ in Summary._fields_
            if name not in ("size", "score", "face")
        }
        found = [
            {
                "start": event.start_seconds,
                "end": event.end_seconds,
                "extreme": event.extreme_ms,
                "state": STATES[event.state],
                "cause": CAUSES[event.cause],
            }
            for event in events[: summary.num_events]
        ]
        return {**plain_record(summary.score, summary.face), **numbers}, found


def number(value: float) -> float | None:
    """Return a number, None for NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def plain_record(record: Record, face: SeenFace) -> dict[str, Any]:
    """Return a record and the face of its window with the names and values of `SyncScore`."""
    found = {name: number(getattr(record, name)) for name, _ in Record._fields_}
    found["state"] = STATES[record.state]
    found["within_profile"] = None if record.within_profile < 0 else bool(record.within_profile)
    found["path"] = PATHS[record.path]
    found["is_measured"] = bool(record.is_measured)
    found["profile"] = record.profile.decode()
    found["reason"] = record.reason.decode() or None
    found["face"] = face.to_view()
    return found
