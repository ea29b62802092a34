"""Streams as pieces that are pushed into the scorers of libcavsync and of Python alike, and the comparison of both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cavsync.deploy import SyncScore
from cavsync.deploy.verdict.face_view import FaceView

EXACT_FIELDS = ("state", "reason", "profile", "within_profile", "is_measured", "path")
TOLERANCES = {
    **dict.fromkeys(("audio_offset_ms", "suggested_audio_delay_ms", "offset_resolution_ms"), 0.05),
    **dict.fromkeys(("similarity", "time_seconds", "window_seconds"), 1e-5),
    "confidence": 1e-3,
}


@dataclass
class Stream:
    """Pieces in the order of pushing: (time, frame) and (time, samples, rate)."""

    pieces: list[tuple[Any, ...]] = field(default_factory=list)

    def add_frames(self, times: NDArray[Any], size: tuple[int, int], rng: np.random.Generator) -> None:
        for time in times:
            frame = rng.integers(0, 40, (*size, 3)) + 200 * loudness(float(time))
            self.pieces.append((float(time), frame.astype(np.uint8)))

    def add_audio(
        self,
        start: float,
        seconds: float,
        rate_hz: int,
        rng: np.random.Generator,
        *,
        late: float = 0.0,
        channels: int = 1,
    ) -> None:
        place, count = 0, round(seconds * rate_hz)
        while place < count:
            length = int(rng.integers(1, rate_hz // 4))
            times = start + np.arange(place, min(count, place + length)) / rate_hz
            level = np.array([loudness(time - late) for time in times[:: rate_hz // 100]])
            sound = np.repeat(10 ** (-2.5 + 2 * level), rate_hz // 100)[: len(times)] * rng.choice([-1, 1], len(times))
            samples = sound if channels == 1 else np.stack([sound * (1 - 0.3 * one) for one in range(channels)], 1)
            jitter = float(rng.uniform(-0.001, 0.001))
            self.pieces.append((float(times[0]) + jitter, (samples * 32767).astype(np.int16), rate_hz))
            place += length

    def sorted(self) -> Stream:
        return Stream(sorted(self.pieces, key=lambda piece: (piece[0], len(piece))))


def loudness(seconds: float) -> float:
    """Another level, from 0 to 1, every tenth of a second, without a jump between them."""
    place = math.floor(seconds * 10)
    below, above = (math.sin(12.9898 * number) * 43758.5453 % 1 for number in (place, place + 1))
    return below + (above - below) * (seconds * 10 - place)


def fed(scorer: Any, stream: Stream) -> list[Any]:
    records: list[Any] = []
    for piece in stream.pieces:
        records += push(scorer, piece) or []
    return records + scorer.flush()


def push(scorer: Any, piece: tuple[Any, ...]) -> list[Any] | None:
    if len(piece) == 2:
        return scorer.push_video(piece[1], pts_seconds=piece[0])
    return scorer.push_audio(piece[1], pts_seconds=piece[0], sample_rate_hz=piece[2])


def assert_same(found: dict[str, Any], wanted: SyncScore) -> None:
    assert {name: found[name] for name in EXACT_FIELDS} == {name: getattr(wanted, name) for name in EXACT_FIELDS}
    for name, tolerance in TOLERANCES.items():
        value = getattr(wanted, name)
        assert found[name] == (None if value is None else pytest.approx(value, abs=tolerance)), name
    assert_same_face(found["face"], wanted.face)


def assert_same_face(found: FaceView | None, wanted: FaceView | None) -> None:
    """The same face at the same place, seen as well: to a hundredth of a pixel and 0.0001."""
    if found is None or wanted is None:
        assert found is wanted
        return
    assert (found.track, found.frame_size) == (wanted.track, wanted.frame_size)
    assert found.box == pytest.approx(wanted.box, abs=0.01)
    assert found.eye_distance_px == pytest.approx(wanted.eye_distance_px, abs=0.01)
    for name in ("presence", "frontality", "share"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-4), name
    assert found.lips.opening_range == pytest.approx(wanted.lips.opening_range, abs=1e-4)
    assert found.lips.steadiness == pytest.approx(wanted.lips.steadiness, abs=1e-3, nan_ok=True)
