"""Small copies of footage: the same timestamps and the same sound, at the size that training reads."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from cavsync.data.synth import ClipSpec, generate

SCRIPT = Path(__file__).resolve().parents[2] / "models" / "small_footage.py"
TABLE = ("path", "use", "split", "group")


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as file:
        return [float(frame.time or 0) for frame in file.decode(video=0)]


def sound(path: Path) -> NDArray[np.float32]:
    """Samples at 16 kHz, mono, from the time 0 of the file on."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler("flt", "mono", 16_000)
        frames = [*file.decode(audio=0)]
        pieces = [piece.to_ndarray()[0] for frame in (*frames, None) for piece in resampler.resample(frame)]
    return np.concatenate([np.zeros(round(16_000 * float(frames[0].time or 0)), np.float32), *pieces])


def lag_samples(first: NDArray[np.float32], second: NDArray[np.float32]) -> int:
    """How many samples later than in `first` the same sound comes in `second`, by cross-correlation."""
    size = 2 * max(len(first), len(second))
    found = np.fft.irfft(np.fft.rfft(first, size).conj() * np.fft.rfft(second, size), size)
    lag = int(np.argmax(found))
    return lag if lag < size / 2 else lag - size


@pytest.mark.parametrize(
    "text",
    [
        "drummer@1 seed=3 fps=25 duration_seconds=3 width=200 height=152 audio_rate_hz=48000 audio_offset_ms=200",
        "face@1 seed=4 fps=30000/1001 duration_seconds=3 width=144 height=176 audio_rate_hz=44100 channels=2",
    ],
)
def test_a_copy_keeps_time(tmp_path: Path, text: str) -> None:
    from small_footage import write_small_copy

    generate(tmp_path / "clip", [ClipSpec.from_text(text)], workers=1)
    (source,) = (tmp_path / "clip").glob("*.mp4")
    write_small_copy(source, tmp_path / "copy.mkv")
    # Matroska rounds to milliseconds.
    np.testing.assert_allclose(frame_times(tmp_path / "copy.mkv"), frame_times(source), atol=0.0006)
    assert abs(lag_samples(sound(source), sound(tmp_path / "copy.mkv"))) <= 16
    with av.open(str(tmp_path / "copy.mkv")) as file:
        video, audio = file.streams.video[0], file.streams.audio[0]
        assert min(video.width, video.height) == 80
        assert video.width / video.height == pytest.approx(aspect(source), rel=0.02)
        assert (audio.rate, audio.layout.nb_channels) == (16_000, 1)


def aspect(path: Path) -> float:
    with av.open(str(path)) as file:
        return file.streams.video[0].width / file.streams.video[0].height


def test_the_clips_that_may_be_trained_on_are_copied(tmp_path: Path) -> None:
    specs = [ClipSpec.from_text(f"drummer@1 seed={seed} fps=25 duration_seconds=1") for seed in range(3)]
    generate(tmp_path / "real", specs, workers=1)
    paths = sorted(path.name for path in (tmp_path / "real").glob("*.mp4"))
    rows = [
        dict(zip(TABLE, (path, use, "train", f"group {use}"), strict=True))
        for path, use in zip(paths, ("train+test", "research", "test-only"), strict=True)
    ]
    with (tmp_path / "real" / "manifest.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, TABLE)
        writer.writeheader()
        writer.writerows(rows)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "real"), str(tmp_path / "small")]
    subprocess.run(command, check=True, capture_output=True)
    with (tmp_path / "small" / "manifest.csv").open(encoding="utf-8") as table:
        (row,) = csv.DictReader(table)
    assert row == rows[0] | {"path": Path(paths[0]).stem + ".mkv"}
    assert [path.name for path in (tmp_path / "small").glob("*.mkv")] == [row["path"]]
