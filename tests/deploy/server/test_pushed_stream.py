"""How late decisions about a pushed stream are, and its limits, whatever its timestamps do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock
from live_sender import course_chunks, frame_chunk

from cavsync.deploy import Bundle, ScoringOptions
from cavsync.deploy.metrics import SyncMetrics
from cavsync.deploy.server import pushed_stream
from cavsync.deploy.server.live_face import LiveFace
from cavsync.deploy.server.live_stream import LiveStream
from cavsync.deploy.server.pushed_stream import PushedStream

prometheus_client = pytest.importorskip("prometheus_client")

PAUSE_SECONDS = 1.0
FRAME = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock from which delays are computed; it stands still unless a test moves it."""
    clock = FakeClock()
    monkeypatch.setattr(pushed_stream, "time", clock)
    return clock


class Pushed:
    """A stream with one-frame limits, and what became of it."""

    def __init__(self, bundle: Bundle) -> None:
        metrics = SyncMetrics(prometheus_client.CollectorRegistry())
        self.stream = LiveStream("one", "pushed", metrics, lambda _: None)
        self.scoring = PushedStream(
            bundle, self.stream, ScoringOptions(profile="one-frame"), LiveFace(has_pictures=True)
        )

    def push(self, chunks: Iterable[tuple[float, bytes]]) -> None:
        for _, chunk in chunks:
            assert all(answer["kind"] != "error" for answer in self.scoring.push(chunk))

    @property
    def delays(self) -> list[float]:
        return [decision["delay_seconds"] for decision in self.stream.past()["decisions"]]


@pytest.mark.parametrize("pts_seconds", [1e300, 1e6, -1e6])
def test_a_timestamp_out_of_line_spoils_neither_delay_nor_limits(
    bundle: Bundle, clock: FakeClock, pts_seconds: float
) -> None:
    one, chunks = Pushed(bundle), list(course_chunks(6))
    one.push(chunks[:150])
    answers = one.scoring.push(frame_chunk(pts_seconds, FRAME))
    assert [answer["kind"] for answer in answers] == ["error"] * (pts_seconds == 1e300)
    clock.advance(PAUSE_SECONDS)
    one.push(chunks[150:])
    assert len(one.delays) >= 6
    # The frames at the end of later windows came after the pause.
    assert one.delays[-3:] == [0, 0, 0]
    status: dict[str, Any] = one.stream.status()
    assert (status["early_limit_ms"], status["late_limit_ms"]) == (40, 40)


def test_a_clock_that_is_set_back_is_not_late(bundle: Bundle, clock: FakeClock) -> None:
    one, chunks = Pushed(bundle), list(course_chunks(30))
    one.push(chunks[1000:])
    clock.advance(PAUSE_SECONDS)
    one.push(chunks[:400])
    assert one.stream.past()["decisions"][-1]["time_seconds"] < 10
    assert one.delays[-3:] == [0, 0, 0]


def test_the_delay_counts_from_the_frame_at_the_windows_end(bundle: Bundle, clock: FakeClock) -> None:
    """The window of 2 s ends where the frame of 2.0 s begins, not the one before it."""
    one, chunks = Pushed(bundle), list(course_chunks(4))
    one.push(chunks[:100])
    clock.advance(PAUSE_SECONDS)
    one.push(chunks[100:])
    assert one.delays[0] == 0


def test_decisions_go_on_five_seconds_after_the_audio_ended(bundle: Bundle) -> None:
    one = Pushed(bundle)
    one.push(chunk for index, chunk in enumerate(course_chunks(16)) if index % 2 == 0 or chunk[0] < 4)
    last = one.stream.past()["decisions"][-1]
    # Patience, search range, and what is embedded together.
    assert 16 - last["time_seconds"] < 5 + 0.6 + 1.2
    assert last["state"] == "undetermined"
