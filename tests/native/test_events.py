"""Events of a stream that runs are those that Python's `EventTracker` makes of Python's decisions."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_library import NativeError, NativeLibrary, NativeScorer
from native_streams import Stream, fed, push
from numpy.typing import NDArray
from sync_clips import make_audio, make_frames, write_clip

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.live.sinks.text import JsonLinesSink
from cavsync.deploy.live.watcher import Watcher
from cavsync.deploy.native import NativeBundle
from cavsync.deploy.native import NativeScorer as PackagedScorer
from cavsync.deploy.verdict.events import EventChange, EventTracker
from cavsync.errors import ConfigError

ARGUMENT = 1
SECONDS = 26.0
RATE_HZ = 16_000


def offset_ms(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """In sync, then late, early at once, and late again to the end."""
    return np.select([times < 6, times < 15, times < 20], [0.0, -240.0, 170.0], -200.0)


def samples() -> NDArray[np.float32]:
    """Silent for some seconds of the first fault, so that it goes on without evidence."""
    found = make_audio(0.0, round(SECONDS * RATE_HZ), audio_offset_ms=offset_ms)
    found[9 * RATE_HZ : 12 * RATE_HZ] = 0
    return found


def stream(start_seconds: float = 0.0) -> Stream:
    times, sound = np.arange(0, SECONDS, 0.04), samples()
    frames = make_frames(times)
    pieces: list[tuple[Any, ...]] = [
        (start_seconds + float(time), frame) for time, frame in zip(times, frames, strict=True)
    ]
    pieces += [
        (start_seconds + place / RATE_HZ, sound[place : place + 1600], RATE_HZ) for place in range(0, len(sound), 1600)
    ]
    return Stream(pieces).sorted()


def stream_that_begins_again() -> Stream:
    """Both clocks are set back while an event is open."""
    return Stream(stream(100.0).pieces + stream(3.0).pieces)


def tracked(records: list[Any], **rules: int) -> list[EventChange]:
    """What Python makes of its decisions."""
    tracker, changes = EventTracker(**rules), []
    for record in records:
        changes += tracker.update(record)
    return [*changes, *tracker.finish(records[-1].time_seconds)]


def assert_same(found: list[EventChange], wanted: list[EventChange]) -> None:
    assert [(one.phase, one.state, one.cause) for one in found] == [(one.phase, one.state, one.cause) for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.start_seconds == pytest.approx(other.start_seconds, abs=1e-5)
        assert one.end_seconds == (None if other.end_seconds is None else pytest.approx(other.end_seconds, abs=1e-5))
        assert one.extreme_ms == pytest.approx(other.extreme_ms, abs=0.05)


@pytest.mark.parametrize("rules", [{}, {"begin_after": 1, "end_after": 1}, {"begin_after": 4, "end_after": 2}], ids=str)
@pytest.mark.parametrize("make", [stream, stream_that_begins_again])
def test_events_are_those_of_python(
    library: NativeLibrary, bundle_path: Path, make: Any, rules: dict[str, int]
) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path), follows_events=1, **rules)
    fed(native, make())
    found = native.take_events()
    assert native.take_events() == []
    native.close()
    wanted = tracked(fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole"), make()), **rules)
    assert_same(found, wanted)
    assert {one.state for one in found} == {"audio_late", "audio_early"}
    assert {one.cause for one in found} == {None, "decisions", "stream_ended"}


def test_an_event_is_given_after_the_decision_that_begins_it(library: NativeLibrary, bundle_path: Path) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path), follows_events=1)
    python, tracker = SyncScorer(Bundle.open(bundle_path, threads=1), path="whole"), EventTracker()
    num_changes = 0
    for piece in stream().pieces:
        push(native, piece)
        for record in push(python, piece) or []:
            assert native.take_events() == []
            (found,) = native.process(1)
            assert found["time_seconds"] == pytest.approx(record.time_seconds)
            wanted = tracker.update(record)
            assert_same(native.take_events(), wanted)
            num_changes += len(wanted)
        assert native.process(1) == []
    assert num_changes >= 4
    native.close()


def test_what_finds_no_room_is_given_next(library: NativeLibrary, bundle_path: Path) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path), follows_events=1)
    fed(native, stream())
    at_once = native.take_events()
    native.reset()
    fed(native, stream())
    one_by_one = [native.take_events(1) for _ in at_once]
    assert [change for (change,) in one_by_one] == at_once
    assert native.take_events(0) == native.take_events(1) == []
    native.close()


def test_a_reset_ends_an_open_event(library: NativeLibrary, bundle_path: Path) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path), follows_events=1)
    records: list[dict[str, Any]] = []
    for piece in stream().pieces:
        if piece[0] < 14:
            push(native, piece)
            records += native.process()
    (began,) = native.take_events()
    assert began.phase == "began"
    native.reset()
    (ended,) = native.take_events()
    assert (ended.phase, ended.cause, ended.start_seconds) == ("ended", "stream_ended", began.start_seconds)
    assert ended.end_seconds == records[-1]["time_seconds"]
    # Nothing of the old stream is left.
    assert_same([began], [next(change for change in python_changes(bundle_path) if change.phase == "began")])
    fed(native, stream())
    assert_same(native.take_events(), python_changes(bundle_path))
    native.close()


def python_changes(bundle_path: Path) -> list[EventChange]:
    return tracked(fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole"), stream()))


def test_events_must_be_asked_for(library: NativeLibrary, bundle_path: Path) -> None:
    native = NativeScorer(library, library.open_bundle(bundle_path))
    with pytest.raises(NativeError, match="create it with follows_events") as failure:
        native.take_events()
    assert failure.value.status == ARGUMENT
    native.close()


def test_events_in_python(build: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAVSYNC_LIBRARY", str(build / "libcavsync.so"))
    bundle = NativeBundle(bundle_path, threads=1)
    scorer = PackagedScorer(bundle, path="whole", follows_events=True, begin_after=3, end_after=1)
    fed(scorer, stream())
    wanted = fed(SyncScorer(Bundle.open(bundle_path, threads=1), path="whole"), stream())
    assert_same(scorer.take_events(), tracked(wanted, begin_after=3, end_after=1))
    with pytest.raises(ConfigError, match="follows_events=True"):
        PackagedScorer(bundle).take_events()
    with pytest.raises(ConfigError, match="give 1 or more of each"):
        PackagedScorer(bundle, follows_events=True, end_after=0)


@pytest.fixture(scope="module")
def clip(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = make_frames(np.arange(0, SECONDS, 0.04))
    path = tmp_path_factory.mktemp("events") / "clip.mkv"
    return write_clip(path, frames=frames, samples=samples(), audio_rate_hz=RATE_HZ)


def program(build: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [build / "cavsync-score", "--path", "whole", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("rules", [(2, 3), (1, 5)])
def test_the_program_writes_the_lines_of_watch(
    build: Path, bundle_path: Path, clip: Path, rules: tuple[int, int]
) -> None:
    written = io.StringIO()
    bundle = Bundle.open(bundle_path, threads=1)
    begin_after, end_after = rules
    sinks = [JsonLinesSink(written)]
    Watcher(str(clip), bundle, path="whole", sinks=sinks, begin_after=begin_after, end_after=end_after).run()
    given = ("--events", "--begin-after", begin_after, "--end-after", end_after)
    done = program(build, "--bundle", bundle_path, *given, clip)
    assert (done.returncode, done.stderr) == (0, "")
    # Decisions and events in their order; `watch` also writes its status, and the program its summary.
    found, wanted = (
        [line for line in map(json.loads, text.splitlines()) if line["kind"] in ("window", "event")]
        for text in (done.stdout, written.getvalue())
    )
    assert [line["kind"] for line in found] == [line["kind"] for line in wanted]
    events = [line for line in found if line["kind"] == "event"]
    assert len(events) >= 4
    for line, other in zip(events, [line for line in wanted if line["kind"] == "event"], strict=True):
        assert list(line) == list(other)
        for name, value in other.items():
            assert line[name] == (pytest.approx(value, abs=0.15) if isinstance(value, float) else value), name


def test_a_file_that_fails_ends_its_event(build: Path, bundle_path: Path, clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    done = program(build, "--bundle", bundle_path, "--events", cut, clip)
    lines = list(map(json.loads, done.stdout.splitlines()))
    own = [line for line in lines if line["source"] == str(cut)]
    assert [line["kind"] for line in own[-2:]] == ["event", "error"]
    assert (own[-2]["phase"], own[-2]["cause"]) == ("ended", "stream_ended")
    other = [line for line in lines if line["source"] == str(clip) and line["kind"] == "event"]
    assert [line["phase"] for line in other] == ["began", "ended"] * (len(other) // 2)


def test_without_events_the_lines_are_as_before(build: Path, bundle_path: Path, clip: Path) -> None:
    with_events = program(build, "--bundle", bundle_path, "--events", clip).stdout.splitlines()
    without = program(build, "--bundle", bundle_path, clip).stdout.splitlines()
    assert [line for line in with_events if json.loads(line)["kind"] != "event"] == without
    assert len(with_events) > len(without)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--begin-after", 2], "need --events"),
        (["--events", "--end-after", 0], "--end-after is 0: give a whole number from 1 to"),
        (["--events", "--begin-after", "x"], "--begin-after is x: give a whole number from 1 to"),
    ],
)
def test_wrong_rules_are_refused(build: Path, bundle_path: Path, arguments: list[Any], sentence: str) -> None:
    done = program(build, "--bundle", bundle_path, *arguments, "x.mp4")
    assert done.returncode == 2
    assert sentence in done.stderr
