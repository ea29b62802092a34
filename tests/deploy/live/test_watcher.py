"""The watcher on sources that need no sender: files, generated devices, broken and overloaded streams."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from senders import free_port
from sync_clips import make_audio, write_clip
from waiting import PATIENCE_SECONDS

from cavsync.deploy import Bundle, CallbackSink, EventChange, LiveStatus, SyncScore, Watcher, score_file
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.verdict.records import AUDIO_LATE, IN_SYNC, UNDETERMINED
from cavsync.errors import ConfigError, MediaError

TS_PACKET = 188


class Log:
    """Everything that a watch says, in order."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.is_closed = False
        self.sink = CallbackSink(decision=self.said.append, event=self.said.append, status=self.said.append)

    def of(self, kind: type) -> list:
        return [item for item in self.said if isinstance(item, kind)]


def watch(source: object, bundle: Bundle, **options: object) -> Log:
    log = Log()
    Watcher(str(source), bundle, sinks=[log.sink], **options).run()  # type: ignore[arg-type]
    return log


@pytest.fixture(scope="module")
def late_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Late by 240 ms from beginning to end, 8 s of MPEG-TS."""
    return write_clip(tmp_path_factory.mktemp("late") / "clip.ts", seconds=8.0, audio_offset_ms=-240.0)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "ts"])
def test_a_file_is_watched_as_it_is_scored(bundle: Bundle, tmp_path: Path, ending: str) -> None:
    clip = write_clip(tmp_path / f"clip.{ending}", seconds=6.0, audio_offset_ms=-200.0)
    scored, watched = score_file(clip, bundle).records, list(Watcher(str(clip), bundle))
    assert len(watched) == len(scored) == 9
    for one, other in zip(watched, scored, strict=True):
        assert one.time_seconds == pytest.approx(other.time_seconds, abs=1e-6)
        assert one.audio_offset_ms == pytest.approx(other.audio_offset_ms, abs=1e-2)
        assert one.state == other.state


def test_events_follow_their_decisions_and_everything_that_began_ends(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=10.0, audio_offset_ms=lambda t: np.where(t < 5.0, 0.0, -240.0))
    log = watch(clip, bundle)
    first, last = log.said[0], log.said[-1]
    assert isinstance(first, LiveStatus)
    assert isinstance(last, LiveStatus)
    assert (first.phase, last.phase, last.message) == ("connected", "ended", "the source ended")
    began, ended = log.of(EventChange)
    place = log.said.index(began)
    cause = log.said[place - 1]
    assert isinstance(cause, SyncScore)
    assert cause.state == AUDIO_LATE
    assert (began.phase, ended.phase, ended.end_seconds) == ("began", "ended", 10.0)
    assert 5.0 < began.start_seconds <= 8.0


def test_drift_of_the_recent_minutes_is_in_the_status(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=36.0, audio_offset_ms=lambda t: -150 + 7.0 * t)
    status = watch(clip, bundle).of(LiveStatus)
    assert status[0].drift_ms_per_minute is None
    assert status[-1].drift_ms_per_minute == pytest.approx(420.0, rel=0.03)


def test_a_clock_that_begins_anew_inside_a_stream(bundle: Bundle, late_clip: Path, tmp_path: Path) -> None:
    """The same transport stream three times in a row: times go on, and no decision mixes two of them."""
    thrice = tmp_path / "thrice.ts"
    thrice.write_bytes(3 * late_clip.read_bytes())
    log = watch(thrice, bundle)
    scores = log.of(SyncScore)
    times = [score.time_seconds for score in scores]
    assert times == sorted(set(times))
    assert 26.0 <= times[-1] <= 28.5
    assert {score.state for score in scores} == {AUDIO_LATE}
    assert np.median([score.audio_offset_ms for score in scores]) == pytest.approx(-240.0, abs=5)
    messages = [status.message for status in log.of(LiveStatus) if status.phase == "connected"]
    assert messages == ["", *2 * ["the sender's clock jumped"]]
    assert [event.phase for event in log.of(EventChange)] == ["began", "ended"]


def test_damage_is_counted_and_survived(bundle: Bundle, late_clip: Path, tmp_path: Path) -> None:
    data = bytearray(late_clip.read_bytes())
    random = np.random.default_rng(1)
    for place in random.integers(20, len(data) // TS_PACKET, 12):
        start = int(place) * TS_PACKET + 30
        data[start : start + 100] = random.integers(0, 256, 100, dtype=np.uint8).tobytes()
    # Some packets are lost altogether.
    del data[200 * TS_PACKET : 210 * TS_PACKET]
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(data)
    log = watch(damaged, bundle)
    assert log.of(LiveStatus)[-1].damaged_packets > 0
    offsets = [score.audio_offset_ms for score in log.of(SyncScore) if score.state == AUDIO_LATE]
    assert len(offsets) >= 3
    assert np.median(offsets) == pytest.approx(-240.0, abs=15)


def test_overload_drops_the_oldest_says_so_and_stays_right(bundle: Bundle, tmp_path: Path) -> None:
    """A file comes as fast as the disk gives it, and every decision takes its time."""
    clip = write_clip(tmp_path / "clip.ts", seconds=30.0, audio_offset_ms=-240.0)
    log = Log()
    slow = CallbackSink(decision=lambda _: time.sleep(0.05))
    Watcher(str(clip), bundle, sinks=[log.sink, slow], policy="drop_oldest", queue_seconds=22.0).run()
    last = log.of(LiveStatus)[-1]
    assert last.dropped_packets > 0
    assert last.dropped_seconds > 0
    offsets = [score.audio_offset_ms for score in log.of(SyncScore) if score.state != UNDETERMINED]
    assert len(offsets) >= 5, "whole windows are left between the gaps"
    assert np.median(offsets) == pytest.approx(-240.0, abs=5)


def test_blocking_drops_nothing_however_slow_it_is(bundle: Bundle, late_clip: Path) -> None:
    log = Log()
    slow = CallbackSink(decision=lambda _: time.sleep(0.02))
    Watcher(str(late_clip), bundle, sinks=[log.sink, slow], queue_seconds=0.5).run()
    assert len(log.of(SyncScore)) == 13
    assert log.of(LiveStatus)[-1].dropped_packets == 0


def test_decisions_go_on_soon_after_the_sound_died(bundle: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=25.0, samples=make_audio(0.0, 4 * 48_000, rate_hz=48_000))
    lags: list[float] = []
    watcher = Watcher(str(clip), bundle, queue_seconds=0.5)
    watcher.add_sink(CallbackSink(decision=lambda _: lags.append(watcher.lag_seconds or 0.0)))
    assert watcher.lag_seconds is None
    watcher.run()
    # Patience, search range, what is embedded together, and what waits in the queue.
    assert max(lags) < 5 + 0.6 + 1.2 + 1.0
    assert len(lags) >= 40


def test_capture_devices_are_read_side_by_side(bundle: Bundle) -> None:
    """Two of FFmpeg's generators stand for a camera and a microphone."""
    source = "lavfi://testsrc=size=64x48:rate=25,realtime=speed=4?audio=lavfi:sine=frequency=440,arealtime=speed=4"
    log = watch(source, bundle, duration_seconds=4.0)
    scores = log.of(SyncScore)
    assert [score.time_seconds for score in scores] == pytest.approx([2.0, 2.5, 3.0, 3.5, 4.0], abs=0.05)
    assert all(score.similarity is not None for score in scores)
    assert log.of(LiveStatus)[-1].message == "watched for 4 s"


@pytest.mark.parametrize(("tracks", "missing"), [(("video",), "audio"), (("audio",), "video")])
def test_a_source_without_picture_or_sound_says_so(
    bundle: Bundle, tmp_path: Path, tracks: tuple[str, ...], missing: str
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=3.0, tracks=tracks)
    with pytest.raises(MediaError, match=f"has no {missing} track"):
        watch(clip, bundle)


def test_tries_are_counted_waited_for_and_bounded(bundle: Bundle) -> None:
    address = f"rtsp://user:secret@127.0.0.1:{free_port()}/live"
    log = Log()
    watcher = Watcher(address, bundle, sinks=[log.sink], max_tries=3, backoff=Backoff(0.01, 0.02))
    with pytest.raises(MediaError, match=r"rtsp://user:\*\*\*@127.* cannot be opened"):
        watcher.run()
    assert [status.phase for status in log.of(LiveStatus)] == ["waiting", "waiting", "ended"]
    assert not any("secret" in status.message for status in log.of(LiveStatus))
    log = Log()
    with pytest.raises(MediaError, match="refused"):
        Watcher(address, bundle, sinks=[log.sink], reconnect=False).run()
    assert [status.phase for status in log.of(LiveStatus)] == ["ended"]


def test_a_silent_sender_is_noticed(bundle: Bundle) -> None:
    with pytest.raises(MediaError, match=r"nothing arrived for 0\.5 s"):
        Watcher(f"udp://127.0.0.1:{free_port()}", bundle, reconnect=False, timeout_seconds=0.5).run()


def test_stopping_does_not_wait_for_the_sender(bundle: Bundle) -> None:
    """FFmpeg is asked to wait for it much longer than the test does."""
    log = Log()
    watcher = Watcher(f"udp://127.0.0.1:{free_port()}", bundle, sinks=[log.sink], timeout_seconds=2 * PATIENCE_SECONDS)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    time.sleep(0.3)
    watcher.stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert [status.message for status in log.of(LiveStatus)] == ["stopped"]


def test_what_a_callback_raises_ends_the_watch_and_closes_every_sink(bundle: Bundle, late_clip: Path) -> None:
    closed: list[str] = []

    class Closing(CallbackSink):
        def close(self) -> None:
            closed.append("closed")

    def fail(score: SyncScore) -> None:
        raise ZeroDivisionError("mine")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="mine"):
        Watcher(str(late_clip), bundle, sinks=[Closing(decision=fail), Closing()]).run()
    assert closed == ["closed", "closed"]
    assert threading.active_count() == before


def test_leaving_the_loop_ends_the_watch(bundle: Bundle, late_clip: Path) -> None:
    log = Log()
    with Watcher(str(late_clip), bundle, sinks=[log.sink]) as watcher:
        for score in watcher:
            assert score.state != IN_SYNC
            break
    assert log.of(LiveStatus)[-1].phase == "ended"


@pytest.mark.parametrize(
    "options",
    [
        {"queue_seconds": 0.0},
        {"policy": "newest"},
        {"duration_seconds": -1.0},
        {"max_tries": 0},
        {"begin_after": 0},
        {"profile": "none"},
        {"window_seconds": 0.0},
        {"max_lead_seconds": 0.0},
    ],
)
def test_options_that_cannot_be_are_refused(bundle: Bundle, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Watcher("clip.mp4", bundle, **options)  # type: ignore[arg-type]


def test_importing_the_watcher_imports_no_client_of_prometheus() -> None:
    code = "import sys, cavsync.deploy.live; assert 'prometheus_client' not in sys.modules"
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == 0
