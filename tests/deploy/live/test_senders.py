"""Real senders on loopback: every protocol is scored, a killed sender is missed, said to be, and found again.

Assertions are in stream time, so that a slow machine is only slower.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import SOCK_DGRAM

import numpy as np
import pytest
from senders import LIVE_VIDEO, ffmpeg_sender, free_port, need, nginx, rtsp_server, running
from sync_clips import write_clip
from waiting import PATIENCE_SECONDS, wait_until

from cavsync.deploy import Bundle, CallbackSink, EventChange, LiveStatus, SyncScore, Watcher
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC

# Real senders in real time.
pytestmark = pytest.mark.slow

STEP_SECONDS = 5.0
EARLY_MS = 200.0


class Watched:
    """A watcher in a thread, and all that it said."""

    def __init__(self, address: str, bundle: Bundle, **options: object) -> None:
        self.scores: list[SyncScore] = []
        self.events: list[EventChange] = []
        self.status: list[LiveStatus] = []
        self.error: Exception | None = None
        sink = CallbackSink(decision=self.scores.append, event=self.events.append, status=self.status.append)
        settings: dict[str, object] = {"timeout_seconds": 3.0, "backoff": Backoff(0.2, 0.5), "status_seconds": 0.5}
        self.watcher = Watcher(address, bundle, sinks=[sink], **(settings | options))  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.watcher.run()
        except Exception as error:  # noqa: BLE001 - asserted on by the test
            self.error = error

    def phases(self) -> list[str]:
        return [status.phase for status in self.status if status.phase != "running"]

    def count(self, state: str, after_seconds: float = 0.0) -> int:
        return sum(score.state == state and score.time_seconds > after_seconds for score in self.scores)


@contextmanager
def watched(address: str, bundle: Bundle, **options: object) -> Iterator[Watched]:
    one = Watched(address, bundle, **options)
    one.thread.start()
    try:
        yield one
    finally:
        one.watcher.stop()
        one.thread.join(PATIENCE_SECONDS)
    assert not one.thread.is_alive()
    assert one.error is None
    times = [score.time_seconds for score in one.scores]
    assert times == sorted(set(times)), "stream time only goes on"


@pytest.fixture(scope="module")
def early_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audio early by `EARLY_MS` from the beginning to the end."""
    return write_clip(tmp_path_factory.mktemp("early") / "clip.mkv", seconds=30.0, audio_offset_ms=EARLY_MS)


def median_offset_ms(scores: list[SyncScore]) -> float:
    return float(np.median([score.audio_offset_ms for score in scores if score.audio_offset_ms is not None]))


def test_udp_reports_a_delay_within_the_window_and_a_second(bundle: Bundle, tmp_path: Path) -> None:
    """From `STEP_SECONDS` on the audio is late by 300 ms."""
    need("ffmpeg")
    clip = write_clip(
        tmp_path / "step.mkv", seconds=12.0, audio_offset_ms=lambda t: np.where(t < STEP_SECONDS, 0.0, -300.0)
    )
    address = f"udp://127.0.0.1:{free_port(SOCK_DGRAM)}"
    with watched(address, bundle, reconnect=False, duration_seconds=11.0) as one:
        # The receiver's socket must be there before the first packet is sent into nothing.
        wait_until(lambda: one.thread.is_alive() and is_bound(address))
        with running(*ffmpeg_sender(clip, "-f", "mpegts", f"{address}?pkt_size=1316", rate=3.0)) as sender:
            one.thread.join(PATIENCE_SECONDS)
            assert one.status[-1].message == "watched for 11 s", sender.poll()
    before = [score for score in one.scores if score.time_seconds <= STEP_SECONDS]
    assert [score.state for score in before] == [IN_SYNC] * len(before)
    assert len(before) >= 5
    first_late = next(score for score in one.scores if score.state == AUDIO_LATE)
    window_seconds = bundle.manifest.sync.window_seconds
    assert STEP_SECONDS < first_late.time_seconds <= STEP_SECONDS + window_seconds + 1.0
    settled = [score for score in one.scores if score.time_seconds >= STEP_SECONDS + window_seconds + 1.0]
    assert median_offset_ms(settled) == pytest.approx(-300.0, abs=10)
    began, ended = one.events
    assert (began.phase, began.state, ended.phase) == ("began", AUDIO_LATE, "ended")
    assert began.start_seconds == first_late.time_seconds


def test_udp_sender_is_killed_and_starts_again(bundle: Bundle, early_clip: Path) -> None:
    """A sender that is replaced at once is a jump of the clock; one that stays away is a lost connection."""
    need("ffmpeg")
    address = f"udp://127.0.0.1:{free_port(SOCK_DGRAM)}"
    send = ffmpeg_sender(early_clip, "-f", "mpegts", f"{address}?pkt_size=1316", rate=3.0)
    with watched(address, bundle, timeout_seconds=2.0) as one:
        wait_until(lambda: is_bound(address))
        with running(*send):
            wait_until(lambda: one.count(AUDIO_EARLY) >= 3)
        with running(*send):
            wait_until(lambda: any(status.message == "the sender's clock jumped" for status in one.status))
            jump_seconds = one.scores[-1].time_seconds
            wait_until(lambda: one.count(AUDIO_EARLY, jump_seconds) >= 3)
        wait_until(lambda: any("nothing arrived for 2 s" in status.message for status in one.status))
        lost_seconds = one.scores[-1].time_seconds
        with running(*send):
            wait_until(lambda: one.count(AUDIO_EARLY, lost_seconds) >= 3)
            wait_until(lambda: one.status[-1].reconnects >= 1)
    assert one.phases()[:3] == ["connected", "connected", "waiting"]
    assert median_offset_ms(one.scores) == pytest.approx(EARLY_MS, abs=10)
    assert [event.phase for event in one.events] == ["began", "ended"], "the alarm holds until there is evidence"


def test_srt_sender_is_killed_and_starts_again(bundle: Bundle, early_clip: Path) -> None:
    need("ffmpeg")
    if "srt" not in subprocess.run(["ffmpeg", "-hide_banner", "-protocols"], capture_output=True, text=True).stdout:
        pytest.skip("this ffmpeg has no SRT")
    place = f"srt://127.0.0.1:{free_port(SOCK_DGRAM)}"
    send = ffmpeg_sender(early_clip, "-f", "mpegts", f"{place}?mode=listener", rate=3.0)
    with watched(f"{place}?mode=caller&passphrase=", bundle) as one:
        with running(*send):
            wait_until(lambda: one.count(AUDIO_EARLY) >= 3)
        wait_until(lambda: "waiting" in one.phases()[1:])
        lost_seconds = one.scores[-1].time_seconds
        with running(*send):
            wait_until(lambda: one.count(AUDIO_EARLY, lost_seconds) >= 3)
            wait_until(lambda: one.status[-1].reconnects >= 1)
    assert median_offset_ms(one.scores) == pytest.approx(EARLY_MS, abs=10)
    assert any(status.message == "connected again" for status in one.status)


def test_rtsp_server_is_killed_and_starts_again(bundle: Bundle, early_clip: Path, tmp_path: Path) -> None:
    need("ffmpeg")
    clip = tmp_path / "clip.mkv"
    convert = ("ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(early_clip), *LIVE_VIDEO, "-c:a", "copy")
    subprocess.run([*convert, str(clip)], check=True)
    port = free_port()
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        address = first.enter_context(rtsp_server(clip, port))
        one = stack.enter_context(watched(address, bundle))
        wait_until(lambda: one.count(AUDIO_EARLY) >= 3)
        first.close()
        wait_until(lambda: "waiting" in one.phases())
        lost_seconds = one.scores[-1].time_seconds
        stack.enter_context(rtsp_server(clip, port))
        wait_until(lambda: one.count(AUDIO_EARLY, lost_seconds) >= 3)
        wait_until(lambda: one.status[-1].reconnects >= 1)
    assert median_offset_ms(one.scores) == pytest.approx(EARLY_MS, abs=10)


def test_hls_sender_is_killed_and_starts_again(bundle: Bundle, early_clip: Path, tmp_path: Path) -> None:
    """The playlist goes on with a discontinuity: the server never went away."""
    need("ffmpeg")
    flags = ("-hls_time", "1", "-hls_list_size", "8", "-hls_flags", "append_list+discont_start+delete_segments")
    send = ffmpeg_sender(early_clip, "-f", "hls", *flags, str(tmp_path / "live.m3u8"), rate=3.0)
    with nginx(tmp_path) as place, ExitStack() as stack:
        with running(*send):
            wait_until((tmp_path / "live.m3u8").exists)
            one = stack.enter_context(watched(f"{place}/live.m3u8", bundle, timeout_seconds=10.0))
            wait_until(lambda: one.count(AUDIO_EARLY) >= 3)
        with running(*send):
            wait_until(lambda: "connected" in one.phases()[1:])
            again_seconds = one.watcher.status().time_seconds or 0.0
            wait_until(lambda: one.count(AUDIO_EARLY, again_seconds) >= 3)
    assert median_offset_ms(one.scores) == pytest.approx(EARLY_MS, abs=10)


def is_bound(address: str) -> bool:
    """Whether a socket of this machine listens on the port of a UDP address."""
    port = int(address.rsplit(":", 1)[1])
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)
