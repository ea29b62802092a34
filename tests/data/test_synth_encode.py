"""Files keep the truth: decoded by their timestamps, frame and sound line up as they were rendered."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import signal

from cavsync.data.synth import ClipSpec, render, write_clip
from cavsync.data.synth.spec import ENCODINGS, Encoding
from cavsync.errors import ConfigError


def _decode_sound(path: Path, zero_seconds: float, count: int) -> np.ndarray:
    """First channel on a time line that starts at `zero_seconds`, every decoded frame placed by its own pts."""
    line = np.zeros(count)
    with av.open(str(path)) as media:
        for frame in media.decode(audio=0):
            samples = frame.to_ndarray().astype(np.float64)
            first = samples[0] if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)[:, 0]
            start = round((float(frame.pts * frame.time_base) - zero_seconds) * frame.sample_rate)
            first, start = first[max(-start, 0) :], max(start, 0)
            stop = min(start + len(first), count)
            line[start:stop] = first[: max(stop - start, 0)]
    return line


def _decode_frame(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Timestamps in seconds and grey frames."""
    with av.open(str(path)) as media:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="gray")) for f in media.decode(video=0)]
    return np.array([pts for pts, _ in frames]), np.stack([frame for _, frame in frames])


def _spec(encoding: Encoding, **options: object) -> ClipSpec:
    spec = ClipSpec(
        5,
        "impacts",
        duration_seconds=3.0,
        clutter=0,
        container=encoding.container,
        video_codec=encoding.video_codec,
        audio_codec=encoding.audio_codec,
        audio_rate_hz=encoding.audio_rates_hz[0],
        width=128,
        height=96,
    )
    return replace(spec, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: f"{e.container}-{e.video_codec}-{e.audio_codec}")
@pytest.mark.parametrize("last_rate", [False, True])
def test_decoded_files_line_up_with_the_truth(encoding: Encoding, last_rate: bool, tmp_path: Path) -> None:
    fps = Fraction(30000, 1001) if last_rate else Fraction(25)
    channels = encoding.max_channels if last_rate else 1
    rate = encoding.audio_rates_hz[-1 if last_rate else 0]
    spec = _spec(encoding, fps=fps, channels=channels, audio_rate_hz=rate, audio_offset_ms=-120.0)
    path = tmp_path / f"clip.{spec.container}"
    truth = write_clip(spec, path)

    pts, frames = _decode_frame(path)
    assert len(pts) == truth["frames"] == spec.frame_count
    assert np.diff(pts) == pytest.approx(float(1 / fps), abs=0.0011)  # Matroska and WebM round to milliseconds
    assert 0 <= pts[0] < 1.0

    clip = render(spec)
    rendered = np.stack([frame for _, frame in clip.frames]).astype(np.float64) @ (0.299, 0.587, 0.114)
    errors = [
        np.abs(np.diff(frames.astype(np.float64), axis=0)[5:60] - np.diff(rendered, axis=0)[5 + s : 60 + s]).mean()
        for s in (-2, -1, 0, 1, 2)
    ]
    assert int(np.argmin(errors)) == 2  # no frame lost or doubled at the start

    sound = _decode_sound(path, pts[0], spec.sample_count)
    reference = clip.audio[:, 0].astype(np.float64)
    correlation = signal.correlate(sound, reference, method="fft")
    lag_ms = (int(np.argmax(correlation)) - (len(reference) - 1)) / rate * 1000
    assert abs(lag_ms) < 2.0
    assert correlation.max() / np.sqrt((sound @ sound) * (reference @ reference)) > 0.9


def test_a_file_appears_only_complete(tmp_path: Path) -> None:
    write_clip(_spec(ENCODINGS[0]), tmp_path / "clip.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    "options",
    [
        {"audio_codec": "flac"},
        {"container": "avi"},
        {"container": "webm", "video_codec": "libvpx", "audio_codec": "libopus"},
        {"container": "mpg", "video_codec": "mpeg2video", "audio_codec": "mp2", "fps": Fraction(15)},
    ],
)
def test_impossible_encodings_are_refused_and_leave_nothing(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose"):
        write_clip(_spec(ENCODINGS[0], **options), tmp_path / "clip.x")
    assert list(tmp_path.iterdir()) == []
