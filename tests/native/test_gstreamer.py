"""The GStreamer element in pipelines of gst-launch: its messages, and what leaves it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path

import pytest
from documents import ROOT
from gstreamer_plugin import Plugin, gstreamer_plugin, late_clip
from native_library import NativeLibrary, native_build
from waiting import PATIENCE_SECONDS

from cavsync.deploy import Bundle, SyncScore
from cavsync.deploy.files.score_file import score_file
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.verdict.events import EventTracker

SECOND = 1_000_000_000
NO_TIME = 2**64 - 1
ROUNDS = int(os.environ.get("CAVSYNC_NATIVE_ROUNDS", "12"))
"""Seeks and changes of state; `CAVSYNC_NATIVE_ROUNDS=500` takes half an hour."""
SEEKS = ROOT / "tests" / "support" / "gstreamer_seeks.py"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    return gstreamer_plugin(tmp_path_factory.mktemp("gstreamer"))


@pytest.fixture(scope="module")
def clip(plugin: Plugin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return late_clip(tmp_path_factory.mktemp("clips"))


def fields(line: str) -> dict[str, str]:
    """The fields of a message that gst-launch prints, as text."""
    return dict(re.findall(r"([\w-]+)=\(\w+\)(\"[^\"]*\"|[^,;]+)", line))


def launch(
    plugin: Plugin,
    clip: Path,
    sinks: tuple[str, str] = ("fakesink", "fakesink"),
    *,
    settings: str = "policy=block path=whole",
    name: str = "cavsync",
) -> list[dict[str, str]]:
    """Play a clip through the element into an audio and a video sink; return the element's messages of a name."""
    pipeline = f"""filesrc location={clip} ! decodebin name=d
        cavsync name=sync bundle={default_bundle()} {settings}
        d. ! queue ! audioconvert ! audio/x-raw,format=S16LE ! sync.audio_sink  sync.audio_src ! queue ! {sinks[0]}
        d. ! queue ! videoconvert ! sync.video_sink  sync.video_src ! queue ! {sinks[1]}"""
    done = plugin.run("gst-launch-1.0", "-m", *pipeline.split())
    assert done.returncode == 0, done.stdout + done.stderr
    return [fields(line) for line in done.stdout.splitlines() if f"(element): {name}," in line]


def assert_same(found: dict[str, str], wanted: SyncScore) -> None:
    assert found["state"] == wanted.state
    assert float(found["time_seconds"]) == pytest.approx(wanted.time_seconds, abs=0.01)
    assert float(found["audio_offset_ms"]) == pytest.approx(wanted.audio_offset_ms, abs=10.0)
    assert float(found["similarity"]) == pytest.approx(wanted.similarity, abs=0.02)
    assert found["suggested_audio_delay_ms"] == found["audio_offset_ms"]
    assert (found["profile"], found["path"]) == ("itu-bt1359-detect", "whole")
    assert found.get("within_profile") == {None: None, False: "false", True: "true"}[wanted.within_profile]
    assert ("reason" in found) == (wanted.reason is not None)


def test_late_audio_is_posted(plugin: Plugin, clip: Path) -> None:
    """The decisions are those of Python on the same file; GStreamer decodes it with other libraries."""
    messages = launch(plugin, clip)
    wanted = score_file(clip, Bundle.open(threads=1), path="whole").records
    assert {message["state"] for message in messages} == {"audio_late"}
    for found, other in zip(messages, wanted, strict=True):
        assert_same(found, other)
        assert float(found["audio_offset_ms"]) == pytest.approx(-300, abs=40)


def test_the_pipeline_of_the_guide(plugin: Plugin, clip: Path) -> None:
    """With the clip as its file, and sinks that need neither a screen nor a sound card."""
    guide = (ROOT / "docs" / "guides" / "native.md").read_text("utf-8")
    (command,) = re.findall(r"^gst-launch-1.0 (?:.*\\\n)*.*", guide, re.MULTILINE)
    command = command.replace("\\\n", " ").replace("file:///tmp/clip.mp4", clip.as_uri())
    command = command.replace("bundle=models/sync-tiny", f"bundle={default_bundle()}")
    command = command.replace("autoaudiosink", "fakesink").replace("autovideosink", "fakesink")
    done = plugin.run(*shlex.split(command))
    assert done.returncode == 0, done.stderr
    messages = [fields(line) for line in done.stdout.splitlines() if "(element): cavsync," in line]
    assert messages
    assert {message["state"] for message in messages} == {"audio_late"}


@pytest.mark.parametrize("path", ["auto", "face"])
def test_faces_are_looked_for(plugin: Plugin, clip: Path, path: str) -> None:
    """The clip has none, so that nothing is decided by a face."""
    settings = "policy=block" if path == "auto" else f"policy=block path={path}"
    messages = launch(plugin, clip, settings=settings)
    wanted = score_file(clip, Bundle.open(threads=1), path=path).records
    assert [(message["path"], message["state"]) for message in messages] == [
        (record.path, record.state) for record in wanted
    ]
    if path == "face":
        assert {message["reason"].strip('"').replace("\\", "") for message in messages} == {wanted[0].reason}


def test_messages_have_the_times_of_level(plugin: Plugin, clip: Path) -> None:
    (first, *_) = launch(plugin, clip, settings="policy=block path=whole window=3000000000")
    assert int(first["duration"]) == 3 * SECOND
    assert int(first["running-time"]) == int(first["stream-time"]) < SECOND // 10
    assert float(first["time_seconds"]) == pytest.approx(int(first["running-time"]) / SECOND + 3, abs=0.001)


@pytest.mark.parametrize("begin_after", [2, 4])
def test_events_are_posted(plugin: Plugin, clip: Path, begin_after: int) -> None:
    """The events of Python's decisions on the same file, in the times of `level`."""
    settings = f"policy=block path=whole begin-after={begin_after} interval=60000000000"
    began, ended = launch(plugin, clip, settings=settings, name="cavsync-event")
    tracker, wanted = EventTracker(begin_after=begin_after), []
    records = score_file(clip, Bundle.open(threads=1), path="whole").records
    for record in records:
        wanted += tracker.update(record)
    wanted += tracker.finish(records[-1].time_seconds)
    for found, other in zip((began, ended), wanted, strict=True):
        assert (found["phase"], found["state"], found.get("cause")) == (other.phase, "audio_late", other.cause)
        assert float(found["start"]) == pytest.approx(other.start_seconds, abs=0.01)
        assert float(found["extreme"]) == pytest.approx(other.extreme_ms, abs=10.0)
        assert int(found["running-time"]) == int(found["stream-time"]) == round(float(found["start"]) * SECOND)
    assert "end" not in began
    assert float(ended["end"]) == pytest.approx(records[-1].time_seconds, abs=0.01)
    assert int(ended["duration"]) == pytest.approx((float(ended["end"]) - float(ended["start"])) * SECOND, abs=1)
    assert int(began["duration"]) == NO_TIME


def test_buffers_leave_as_they_came(plugin: Plugin, clip: Path, tmp_path: Path) -> None:
    def sums(name: str) -> list[str]:
        return [hashlib.sha256((tmp_path / f"{name}.{track}").read_bytes()).hexdigest() for track in ("s16", "yuv")]

    def sinks(name: str) -> tuple[str, str]:
        return f"filesink location={tmp_path}/{name}.s16", f"filesink location={tmp_path}/{name}.yuv"

    launch(plugin, clip, sinks("scored"))
    audio, video = sinks("plain")
    pipeline = f"""filesrc location={clip} ! decodebin name=d
        d. ! queue ! audioconvert ! audio/x-raw,format=S16LE ! {audio} d. ! queue ! videoconvert ! {video}"""
    assert plugin.run("gst-launch-1.0", *pipeline.split()).returncode == 0
    assert (tmp_path / "plain.yuv").stat().st_size > 1_000_000
    assert sums("scored") == sums("plain")


@pytest.mark.parametrize("path", ["auto", "whole"])
def test_seeks_states_and_ends(plugin: Plugin, clip: Path, path: str) -> None:
    """The program also sees that events begin and end in turn; nothing is decided on both paths."""
    patience = PATIENCE_SECONDS * max(1, ROUNDS // 12)
    done = plugin.run_python(SEEKS, clip, default_bundle(), str(ROUNDS), path, patience_seconds=patience)
    assert done.returncode == 0, done.stderr
    num_decisions, num_events = map(int, re.findall(r"(\d+) (?:decisions|events)", done.stdout))
    assert num_decisions >= ROUNDS
    assert path == "auto" or num_events >= 3
    assert "CRITICAL" not in done.stderr


def test_a_wrong_bundle_ends_the_pipeline(plugin: Plugin) -> None:
    pipeline = "audiotestsrc ! cavsync.audio_sink cavsync name=cavsync bundle=/no/such cavsync.audio_src ! fakesink"
    done = plugin.run("gst-launch-1.0", *pipeline.split())
    assert done.returncode != 0
    assert "/no/such does not exist" in done.stderr


def test_the_engine_is_a_property(plugin: Plugin, clip: Path) -> None:
    if "openvino" not in NativeLibrary(native_build()).names("engine"):
        pytest.skip("this build of libcavsync has no OpenVINO: pip install openvino, and `make native` again")
    messages = launch(plugin, clip, settings="policy=block path=whole engine=openvino")
    wanted = score_file(clip, Bundle.open(threads=1), path="whole").records
    for found, other in zip(messages, wanted, strict=True):
        assert_same(found, other)


def test_the_adaptive_search_is_a_property(plugin: Plugin, clip: Path) -> None:
    """It begins with some of the lags, so that its first decisions resolve less, as in Python."""
    messages = launch(plugin, clip, settings="policy=block path=whole adaptive=true")
    wanted = score_file(clip, Bundle.open(threads=1), path="whole", adaptive=True).records
    assert [float(found["offset_resolution_ms"]) for found in messages] == [
        pytest.approx(other.offset_resolution_ms, abs=0.1) for other in wanted
    ]
    assert float(messages[0]["offset_resolution_ms"]) > float(messages[-1]["offset_resolution_ms"])


def test_an_engine_that_is_missing_ends_the_pipeline(plugin: Plugin) -> None:
    pipeline = f"audiotestsrc ! cavsync.audio_sink cavsync name=cavsync bundle={default_bundle()}"
    done = plugin.run("gst-launch-1.0", *f"{pipeline} engine=tensorrt cavsync.audio_src ! fakesink".split())
    assert done.returncode != 0
    assert "engine tensorrt is not in this libcavsync, which has onnxruntime" in done.stderr


def test_the_element_describes_itself(plugin: Plugin) -> None:
    said = plugin.run("gst-inspect-1.0", "cavsync").stdout
    names = (
        "bundle",
        "engine",
        "provider",
        "threads",
        "device",
        "profile",
        "path",
        "window",
        "interval",
        "post-messages",
        "policy",
        "adaptive",
        "begin-after",
        "end-after",
        "dropped",
    )
    for name in (*names, "dropped"):
        assert re.search(rf"^  {name} +: [A-Z]", said, re.MULTILINE), name
    for name in ("audio_sink", "audio_src", "video_sink", "video_src"):
        assert f"template: '{name}'" in said
