"""The temporary files of the sync test: their times, read back independently, and the offsets that they are said to
have."""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from coded_clips import of_kind, packets, unchanged, write_coded_clip
from sync_clips import make_frames, write_clip

from cavsync.errors import MediaError
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.files.shifted_file import write_shifted_file
from cavsync.evaluate.sync.files.swapped_file import write_swapped_file
from cavsync.evaluate.sync.files.variant_file import write_variant_file
from cavsync.evaluate.sync.files.variants import VARIANTS
from cavsync.media import MediaReader, VideoFrame

CONTAINERS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "libopus"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".ts": ("libx264", "aac"),
    ".mpg": ("mpeg2video", "mp2"),
    ".avi": ("mpeg4", "mp3"),
}
needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


def probed_times(path: Path) -> dict[str, list[float]]:
    """Presentation times of the decoded frames by kind, in seconds, according to ffprobe."""
    entry = "best_effort_timestamp_time"
    command = ["ffprobe", "-v", "error", "-show_entries", f"frame=media_type,{entry}", "-of", "json", str(path)]
    found: dict[str, list[float]] = {"video": [], "audio": []}
    for frame in json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["frames"]:
        times = found[frame["media_type"]]
        # MPEG programme streams give a time to one of several frames; the clips here have 25 frames/s.
        times.append(float(frame[entry]) if entry in frame else times[-1] + 0.04)
    return {kind: sorted(times) for kind, times in found.items()}


def lead_seconds(times: dict[str, list[float]]) -> float:
    """By how much the audio ends before the video. Its start may differ by the codec's priming, silence before the
    sound that an edit list hides in some containers and under some delays."""
    return times["video"][-1] - times["audio"][-1]


def same_rhythm(after: list[float], before: list[float], priming_frames: int) -> None:
    """Assert that the frames follow each other alike, but for frames of priming at the start."""
    count = min(len(after), len(before))
    assert abs(len(after) - len(before)) <= priming_frames
    np.testing.assert_allclose(np.diff(after[-count:]), np.diff(before[-count:]), atol=0.002)


@needs_ffprobe
@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize("offset_ms", [0.0, 200.0, -400.0, 33.0])
def test_shifted_files_have_the_offset(ending: str, offset_ms: float, tmp_path: Path) -> None:
    """ffprobe sees the audio earlier by the offset, and nothing else: all frames are there, in their rhythm."""
    source = write_coded_clip(tmp_path / f"clip{ending}", seconds=2.0, codecs=CONTAINERS[ending])
    (tmp_path / "out").mkdir()
    with unchanged(source):
        copy = write_shifted_file(source, tmp_path / "out", offset_ms)
    assert copy.suffix == (".mkv" if ending in (".mpg", ".avi") else ending)
    before, after = probed_times(source), probed_times(copy)
    assert lead_seconds(after) - lead_seconds(before) == pytest.approx(offset_ms / 1000, abs=0.002)
    same_rhythm(after["video"], before["video"], 0)
    same_rhythm(after["audio"], before["audio"], 1)
    kept = [
        [packet for stream in of_kind(packets(path), "audio") for packet in stream.payloads] for path in (source, copy)
    ]
    assert b"".join(kept[0]) == b"".join(kept[1]) or ending == ".ts"


def test_the_audio_of_a_positive_offset_is_early(tmp_path: Path) -> None:
    """The sign of SYNC.md: the loudness follows the light 200 ms before it, as in a clip that was made so."""
    source = write_clip(tmp_path / "clip.mkv", seconds=4.0)
    made = write_clip(tmp_path / "early.mkv", seconds=4.0, audio_offset_ms=200.0)
    shifted = write_shifted_file(source, tmp_path, 200.0)
    (_, times, samples), (_, _, expected) = read_baseline_inputs(shifted), read_baseline_inputs(made)
    first = round(times[0] * 16_000)
    assert first == pytest.approx(3200, abs=16)
    # From the first frame on, both hold the same loudness; the tone's own phase differs.
    size = 1600
    count = (len(samples) - first) // size
    levels = [
        np.sqrt(np.square(part[: count * size].reshape(count, size)).mean(axis=1))
        for part in (samples[first:], expected)
    ]
    np.testing.assert_allclose(levels[0], levels[1], atol=0.01)


def test_clips_that_cannot_be_copied_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match=r"bad\.mp4"):
        write_shifted_file(tmp_path / "bad.mp4", tmp_path, 100.0)


@needs_ffprobe
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mpg", ".avi"])
def test_swapped_files_hold_one_video_and_the_other_sound(ending: str, tmp_path: Path) -> None:
    """Packets are copied, and each track keeps its times, neither cut nor repeated."""
    images = write_coded_clip(tmp_path / f"images{ending}", seconds=2.0, codecs=CONTAINERS[ending])
    sound = write_coded_clip(tmp_path / f"sound{ending}", seconds=3.0, codecs=CONTAINERS[ending], audio_offset_ms=500.0)
    out = write_swapped_file(images, sound, tmp_path)
    found = packets(out)
    assert [stream.kind for stream in found] == ["video", "audio"]
    for kind, source in (("video", images), ("audio", sound)):
        (kept,), (before,) = of_kind(found, kind), of_kind(packets(source), kind)
        assert b"".join(kept.payloads) == b"".join(before.payloads)
        same_rhythm(probed_times(out)[kind], probed_times(source)[kind], 1 if kind == "audio" else 0)
    starts = [min(min(times) for times in probed_times(path).values()) for path in (images, sound)]
    ends = [probed_times(images)["video"][-1] - starts[0], probed_times(sound)["audio"][-1] - starts[1]]
    assert lead_seconds(probed_times(out)) == pytest.approx(ends[0] - ends[1], abs=0.003)


@needs_ffprobe
def test_videos_with_reordered_frames_and_no_first_decoding_times_are_joined(tmp_path: Path) -> None:
    """Matroska gives the first packets of H.264 with several B-frames no decoding time."""
    images, sound = tmp_path / "images.mkv", write_clip(tmp_path / "sound.mkv", seconds=3.0, seed=1)
    pattern = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2"]
    tone = ["-f", "lavfi", "-i", "sine=duration=2"]
    coding = ["-c:v", "libx264", "-bf", "4", "-b_strategy", "0", "-c:a", "flac"]
    subprocess.run(["ffmpeg", "-v", "error", *pattern, *tone, *coding, str(images)], check=True)
    with av.open(str(images)) as container:
        first = [(packet.pts, packet.dts) for packet in container.demux(video=0)][:2]
    assert [dts for _, dts in first] == [None, None]
    assert first[1][0] > 100
    times = probed_times(write_swapped_file(images, sound, tmp_path))["video"]
    np.testing.assert_allclose(times, probed_times(images)["video"], atol=0.003)


def test_sounds_that_matroska_cannot_hold_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the muxer refuses the codec, the sound becomes PCM with the same samples."""
    images, sound = (write_clip(tmp_path / f"{n}.mkv", seconds=2.0 + n, seed=n) for n in (0, 1))
    copied = "cavsync.evaluate.sync.files.swapped_file.copied_audio"
    from cavsync.evaluate.sync.files import swapped_file

    original = swapped_file.copied_audio

    def refused(voice: Any, sink: Any, tracks: Any, *, as_pcm: bool = False) -> Any:
        if not as_pcm:
            raise ValueError("unsupported codec")
        return original(voice, sink, tracks, as_pcm=True)

    monkeypatch.setattr(copied, refused)
    out = write_swapped_file(images, sound, tmp_path)
    (_, times, samples), (_, _, expected) = read_baseline_inputs(out), read_baseline_inputs(sound)
    assert len(times) == 50
    np.testing.assert_allclose(samples, expected, atol=1e-3)


def decoded(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    with MediaReader(path) as reader:
        frames = [item for item in reader if isinstance(item, VideoFrame)]
    return np.array([frame.pts_seconds for frame in frames]), [frame.rgb for frame in frames]


@pytest.fixture(scope="module")
def odd_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2.4 s of frames with a bright left half and a black stripe on the right, whose height and width are odd."""
    frames = make_frames(np.arange(60) / 25, height=49, width=65)
    frames[:, :, :32] = np.minimum(frames[:, :, :32].astype(int) + 60, 255)
    frames[:, :, 62:] = 0
    return write_clip(tmp_path_factory.mktemp("odd") / "clip.mkv", seconds=2.4, frames=frames)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_keep_times_and_sound(name: str, odd_clip: Path, tmp_path: Path) -> None:
    """At any time the nearest frame is shown, and the sound is copied at the same times."""
    out = write_variant_file(odd_clip, tmp_path, name)
    times, frames = decoded(out)
    before, originals = decoded(odd_clip)
    rate = {"fps15": 15, "fps30": 30, "fps60": 60}.get(name)
    due = before if rate is None else np.arange(0, before[-1] + 1e-9, 1 / rate)
    np.testing.assert_allclose(times, due, atol=0.001)
    np.testing.assert_array_equal(read_baseline_inputs(out)[2], read_baseline_inputs(odd_clip)[2])
    # The grey level of the left half identifies the frame; brute force over all of them finds the nearest in time.
    if rate is not None:
        for time, frame in zip(times, frames, strict=True):
            distance = np.abs(before - time)
            near = [originals[place] for place in np.flatnonzero(distance <= distance.min() + 0.001)]
            left = [float(original[:, :28].mean()) for original in near]
            assert min(abs(float(frame[:, :28].mean()) - level) for level in left) < 6
    height, width = {"half": (24, 32), "double": (98, 130), "letterbox": (66, 66), "second-face": (50, 130)}.get(
        name, (50, 66)
    )
    assert frames[0].shape[:2] == (height, width)


def test_what_variants_do_to_frames(odd_clip: Path, tmp_path: Path) -> None:
    _, originals = decoded(odd_clip)
    shown = {name: decoded(write_variant_file(odd_clip, tmp_path, name))[1] for name in VARIANTS}

    def level(frame: np.ndarray, columns: slice) -> float:
        return float(frame[20:30, columns].mean())

    bright, dark = level(originals[30], slice(2, 28)), level(originals[30], slice(40, 60))
    assert bright > dark + 20
    assert level(shown["mirror"][30], slice(6, 22)) == pytest.approx(dark, abs=6)
    assert level(shown["dim"][30], slice(2, 28)) == pytest.approx(0.4 * bright, abs=6)
    assert shown["letterbox"][30][:6].mean() < 20
    assert shown["noise"][30][20:30, 2:28].std() > originals[30][20:30, 2:28].std() + 5
    # Frozen at the first frame and mirrored, next to the moving one.
    first = level(originals[0], slice(2, 28))
    assert level(shown["second-face"][30], slice(104, 126)) == pytest.approx(first, abs=8)
    assert level(shown["second-face"][30], slice(2, 28)) == pytest.approx(bright, abs=8)
    # In every other second the middle is enlarged by half, so the dark half begins where it did and the dark stripe at
    # the right end is cut off.
    same = [np.abs(shown["cuts"][place].astype(int)[:49, :65] - originals[place]).max() for place in (10, 30, 55)]
    assert same[1] > 2 * max(same[0], same[2])


def test_times_of_a_variable_frame_rate_are_kept(tmp_path: Path) -> None:
    """Frames at uneven times stay there."""
    source = write_clip(tmp_path / "clip.mkv", seconds=2.0, frame_rate=Fraction(30_000, 1001))
    uneven = write_variant_file(source, tmp_path, "fps15")
    np.testing.assert_allclose(
        decoded(write_variant_file(source, tmp_path, "mirror"))[0], decoded(source)[0], atol=0.001
    )
    assert np.diff(decoded(uneven)[0]) == pytest.approx(1 / 15, abs=0.002)
