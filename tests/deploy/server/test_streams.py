"""Live streams over a WebSocket: the decisions of the scorer, whatever else is sent in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_clock import FakeClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_sender import audio_chunk, course_chunks, frame_chunk
from serving import Client, answers_until
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from waiting import wait_until

from cavsync.deploy import Bundle, ScoringOptions, SyncScorer
from cavsync.deploy.server import pushed_stream
from cavsync.deploy.server.chunks import PushedFrame, parse_chunk
from cavsync.deploy.server.pushed_stream import PushedStream
from cavsync.deploy.server.score_options import ScoreOptions

TOO_FINE = ({"frame_rate_hz": 1000}, {"frame_rate_hz": 0}, {"hop_ms": 7}, {"hop_ms": 0}, {"adaptive": "often"})
NO_PATH = ({"path": "face"}, {"path": "mouth"})
LATE = {"offset_ms": -300.0, "from_seconds": 5.0}


def direct(bundle: Bundle, seconds: float, **course: Any) -> list[dict[str, Any]]:
    """What a scorer of one's own decides."""
    scorer = SyncScorer(bundle)
    scores = []
    for _, message in course_chunks(seconds, **course):
        chunk = parse_chunk(message)
        if isinstance(chunk, PushedFrame):
            scores += scorer.push_video(chunk.rgb, pts_seconds=chunk.pts_seconds)
        else:
            scores += scorer.push_audio(chunk.samples, pts_seconds=chunk.pts_seconds)
    return [{"kind": "window", **score.to_dict()} for score in scores + scorer.flush()]


def test_decisions_are_those_of_the_scorer_and_events_come_with_them(client: Client, bundle: Bundle) -> None:
    with client.stream("one") as socket:
        for _, message in course_chunks(12, **LATE):
            socket.send_bytes(message)
        socket.send_text('{"type": "flush"}')
        answers = answers_until(socket, "ended")
    assert [answer for answer in answers if answer["kind"] == "window"] == direct(bundle, 12, **LATE)
    began, ended = [answer for answer in answers if answer["kind"] == "event"]
    assert (began["phase"], began["state"], ended["phase"]) == ("began", "audio_late", "ended")
    # Within the window and a second after the audio went late.
    assert 5 < began["start"] <= 5 + 2 + 1
    assert began["extreme"] == pytest.approx(-300, abs=15)


def test_what_is_known_of_a_stream(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every chunk moves the clock by 20 ms, so that the stream arrives in its own time, on any machine.
    monkeypatch.setattr(pushed_stream, "time", FakeClock(step_seconds=0.02))
    with client.stream("one") as socket:
        socket.send_text('{"type": "start", "profile": "ebu-r37"}')
        assert socket.receive_json() == {
            "kind": "ready",
            "stream": "one",
            "profile": "ebu-r37",
            "window_seconds": 2.0,
            "max_offset_ms": 600.0,
        }
        for _, message in course_chunks(9, **LATE):
            socket.send_bytes(message)
        answers_until(socket, "event")
        found = client.get("/v1/streams/one").json()
        assert (found["state"], found["profile"], found["late_limit_ms"]) == ("live", "ebu-r37", 60)
        assert found["alarm"]["state"] == "audio_late"
        assert found["latest"]["headline"].startswith("Audio late by")
        assert sum(found["windows"].values()) == len(found["decisions"])
        curve = found["decisions"][-1]["curve"]
        best = np.linspace(curve["from_ms"], curve["to_ms"], len(curve["similarity"]))[np.argmax(curve["similarity"])]
        assert best == pytest.approx(-300, abs=20)
        # Search range, and what is embedded together.
        assert 0.6 <= found["latest"]["delay_seconds"] < 0.6 + 1.2 + 0.2
        metrics = client.get("/metrics").text
        assert 'cavsync_windows_total{state="audio_late",stream="one"}' in metrics
        offset = next(line for line in metrics.splitlines() if line.startswith("cavsync_audio_offset_seconds{"))
        assert float(offset.split()[-1]) == pytest.approx(-0.3, abs=0.015)
        assert "cavsync_inference_duration_seconds_count" in metrics
        assert client.delete("/v1/streams/one").status_code == 409
    assert client.get("/v1/streams").json()["streams"][0]["state"] == "lost"
    assert client.delete("/v1/streams/one").status_code == 204
    assert client.get("/v1/streams/one").status_code == 404
    assert 'stream="one"' not in client.get("/metrics").text


FRAME = np.zeros((4, 4, 3), np.uint8)
BAD = [
    b"garbage",
    frame_chunk(1.0, FRAME)[:-1],
    frame_chunk(float("nan"), FRAME),
    frame_chunk(1e300, FRAME),
    audio_chunk(1.0, np.full(10, np.nan, np.float32)),
    audio_chunk(1.0, np.full(10, 5e4, np.float32)),
    audio_chunk(1.0, np.zeros(10, np.float32), 10),
    audio_chunk(1.0, np.zeros(10, np.float32))[:-3],
    b"x" * 5_000_000,
]
CONTROLS = ["", "{", "[]", "null", '{"type": "start"}', '{"type": "flush", "x": 1}', '{"type": 3}', '{"kind": "flush"}']


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 299), st.sampled_from([*BAD, *CONTROLS])), min_size=1, max_size=12))
def test_bad_chunks_are_answered_and_change_nothing(
    client: Client, bundle: Bundle, bad: list[tuple[int, bytes | str]]
) -> None:
    wanted = direct(bundle, 4)
    with client.stream("fuzzed") as socket:
        for index, (_, message) in enumerate(course_chunks(4)):
            socket.send_bytes(message)
            for place, disturbance in bad:
                if place == index and index > 0:
                    send = socket.send_bytes if isinstance(disturbance, bytes) else socket.send_text
                    send(disturbance)
        socket.send_text('{"type": "flush"}')
        answers = answers_until(socket, "ended")
    errors = [answer["error"] for answer in answers if answer["kind"] == "error"]
    assert len(errors) == sum(0 < place < 200 for place, _ in bad)
    assert all(0 < len(error) < 500 for error in errors)
    assert [answer for answer in answers if answer["kind"] == "window"] == wanted


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.floats(-1e4, 1e4) | st.sampled_from([-0.0, 1e12, -(2.0**39)]),
            st.integers(0, 3000),
            st.sampled_from([1000, 16_000, 44_100, 768_000]),
        ),
        max_size=12,
    )
)
def test_no_order_of_times_stops_the_stream(client: Client, chunks: list[tuple[bool, float, int, int]]) -> None:
    with client.stream("wild") as socket:
        for is_video, pts_seconds, count, rate_hz in chunks:
            audio = np.zeros(count, np.float32)
            socket.send_bytes(frame_chunk(pts_seconds, FRAME) if is_video else audio_chunk(pts_seconds, audio, rate_hz))
        socket.send_text('{"type": "reset"}')
        answers_until(socket, "ready")
        for _, message in course_chunks(4):
            socket.send_bytes(message)
        assert answers_until(socket, "window")[-1]["state"] == "in_sync"
        socket.send_text('{"type": "flush"}')
        answers_until(socket, "ended")


def test_names_and_numbers_of_streams_are_limited(make_client: Callable[..., Client]) -> None:
    client = make_client(max_streams=2)
    for name, status in (("a" * 65, 400), ("a b", 400), ("%22", 400)):
        with pytest.raises(WebSocketDenialResponse) as refused, client.stream(name):
            pass
        assert refused.value.status_code == status
    with client.stream("one"), client.stream("two"):
        for name, status in (("three", 503), ("one", 409)):
            with pytest.raises(WebSocketDenialResponse) as refused, client.stream(name):
                pass
            assert refused.value.status_code == status
            assert json.loads(refused.value.content)["error"]
    # Streams that are over make room.
    with client.stream("three"):
        assert len(client.get("/v1/streams").json()["streams"]) == 2


def test_a_lost_stream_goes_on_under_its_name(client: Client) -> None:
    for _ in range(2):
        with client.stream("one") as socket:
            for _, message in course_chunks(4):
                socket.send_bytes(message)
            answers_until(socket, "window")
    assert client.get("/v1/streams/one").json()["windows"]["in_sync"] >= 2
    assert len(client.get("/v1/streams").json()["streams"]) == 1


def test_a_silent_sender_is_ended_and_forgotten(make_client: Callable[..., Client]) -> None:
    client = make_client(idle_seconds=0.5)
    with client.stream("one") as socket:
        socket.send_text('{"type": "start"}')
        answers = answers_until(socket, "error")
        assert "nothing arrived for too long" in answers[-1]["error"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
        assert closed.value.code == 4408
    wait_until(lambda: not client.get("/v1/streams").json()["streams"])


def test_each_stream_has_a_thread_of_its_own(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool of engines counts threads: a stream that came under two of them would be waited for twice."""
    threads: dict[str, set[int]] = {"one": set(), "two": set()}
    real = PushedStream.push

    def push(self: PushedStream, message: bytes) -> list[dict[str, Any]]:
        threads[self.hello()["stream"]].add(threading.get_ident())
        return real(self, message)

    monkeypatch.setattr(PushedStream, "push", push)
    with client.stream("one") as one, client.stream("two") as two:
        for _ in range(50):
            for socket in (one, two):
                socket.send_bytes(b"x")
            for socket in (one, two):
                socket.receive_json()
    assert [len(found) for found in threads.values()] == [1, 1]
    assert threads["one"] != threads["two"]


def test_tidying_up_goes_on_after_a_failure(
    make_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([ValueError("mine")])

    def sweep() -> None:
        for failure in failures:
            raise failure

    client = make_client(idle_seconds=0.5)
    monkeypatch.setattr(client.app.state.services.jobs, "sweep", sweep)
    with client.stream("one"):
        pass
    wait_until(lambda: not client.get("/v1/streams").json()["streams"])
    assert "removing expired jobs and streams failed" in caplog.text


def test_the_servers_options_hold_unless_a_stream_names_others(make_client: Callable[..., Client]) -> None:
    scoring = ScoringOptions(window_seconds=3.0, max_offset_ms=400.0, frame_rate_hz=5.0, hop_ms=20.0, adaptive=True)
    client = make_client(scoring=scoring)
    services = client.app.state.services
    other = {"window_seconds": 4, "adaptive": False}
    for asked, wanted in (({}, (3, 400, 5, 20, True)), (other, (4, 400, 5, 20, False))):
        found = ScoreOptions.model_validate(asked).resolved(services.bundle.manifest, services.settings.scoring)
        names = ("window_seconds", "max_offset_ms", "frame_rate_hz", "hop_ms", "adaptive")
        assert tuple(getattr(found, name) for name in names) == wanted
        with client.stream("one") as socket:
            socket.send_json({"type": "start", **asked})
            ready = socket.receive_json()
            assert (ready["window_seconds"], ready["max_offset_ms"]) == wanted[:2]
            for _, message in course_chunks(7):
                socket.send_bytes(message)
            answers_until(socket, "window")
            curve = client.get("/v1/streams/one").json()["decisions"][-1]["curve"]
            # 20 ms from one to the next.
            assert len(curve["similarity"]) == 1 + (curve["to_ms"] - curve["from_ms"]) / 20


def test_drift_is_part_of_the_status(client: Client) -> None:
    with client.stream("one") as socket:
        assert client.get("/v1/streams/one").json()["drift_ms_per_minute"] is None
        for _, message in course_chunks(36, offset_ms=lambda at: -150 + 7.0 * at):
            socket.send_bytes(message)
        socket.send_text('{"type": "flush"}')
        answers_until(socket, "ended")
    assert client.get("/v1/streams/one").json()["drift_ms_per_minute"] == pytest.approx(420, rel=0.03)


def test_options_that_cannot_be(client: Client) -> None:
    with client.stream("one") as socket:
        for options in (
            {"profile": "none"},
            {"window_seconds": -1},
            {"max_offset_ms": 1e9},
            {"engine": "x"},
            *TOO_FINE,
            *NO_PATH,
        ):
            socket.send_json({"type": "start", **options})
            assert socket.receive_json()["kind"] == "error"
        socket.send_json({"type": "start", "window_seconds": 3})
        assert socket.receive_json()["window_seconds"] == 3
        socket.send_json({"type": "start"})
        assert "has already started" in socket.receive_json()["error"]


@pytest.mark.parametrize("asked", ['"audio_stream": 0', '"video_stream": 1', '"program": 2', '"all_audio": true'])
def test_a_pushed_stream_has_no_tracks_to_choose_from(client: Client, asked: str) -> None:
    with client.stream("one") as socket:
        socket.send_text(f'{{"type": "start", {asked}}}')
        found = socket.receive_json()
        assert (found["kind"], "has no tracks" in found["error"]) == ("error", True)
