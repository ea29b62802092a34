"""AV-Align: onsets against librosa's, the flow of known movements, pairs against the largest matching."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from sync_clips import write_clip

from cavsync.evaluate.sync.generation.av_align import Peaks, intersection_over_union, read_peaks, shuffled_ious
from cavsync.evaluate.sync.generation.onsets import RATE_HZ, onset_strength, onset_times_seconds, picked
from cavsync.evaluate.sync.generation.optical_flow import FlowMeter, peak_places

FloatArray = NDArray[np.float64]
STRUCK_SECONDS = (0.31, 0.9, 1.52, 1.58, 2.4, 3.3)
# By librosa 0.11.0: onset_detect(onset_envelope=onset_strength(y=strokes(), sr=22050), sr=22050).
LIBROSA_FRAMES = [14, 39, 66, 104, 143]


def strokes(rate_hz: int = RATE_HZ, seconds: float = 4.0) -> NDArray[np.float32]:
    """Strokes that fade, two of them 60 ms apart."""
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    total = np.zeros_like(times)
    for struck in STRUCK_SECONDS:
        fading = np.exp(-np.maximum(times - struck, 0) * 30)
        total += (times >= struck) * fading * np.sin(2 * np.pi * (400 + 300 * struck) * times)
    return (0.3 * total).astype(np.float32)


def test_onsets_are_librosas() -> None:
    """The places are those that librosa gives; silence and a steady tone have none."""
    assert picked(onset_strength(strokes())).tolist() == LIBROSA_FRAMES
    assert onset_times_seconds(strokes()) == pytest.approx(np.array(LIBROSA_FRAMES) * 512 / 22_050)
    assert not len(onset_times_seconds(np.zeros(RATE_HZ, np.float32)))


def slaney_hz(mel: FloatArray) -> FloatArray:
    """Hz of mels: linear below 1 kHz, logarithmic above."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def test_strength_by_hand() -> None:
    """Mel bands, decibels and rises, written out."""
    samples = np.random.default_rng(0).normal(size=12_000).astype(np.float32) * np.linspace(0, 1, 12_000) ** 4
    samples = samples.astype(np.float32)
    padded = np.pad(samples.astype(np.float64), 1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = np.stack([padded[at : at + 2048] * window for at in range(0, len(samples) + 1, 512)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    highest = 15 + np.log(11_025 / 1000) * 27 / np.log(6.4)
    corners = slaney_hz(np.linspace(0, highest, 130))
    hz = np.arange(1025) * RATE_HZ / 2048
    level = np.empty((128, len(power)))
    for band in range(128):
        low, middle, high = corners[band : band + 3]
        triangle = np.maximum(0, np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)))
        level[band] = 10 * np.log10(np.maximum(power @ (triangle * 2 / (high - low)), 1e-10))
    level = np.maximum(level, level.max() - 80)
    wanted = np.zeros(len(power))
    for frame in range(3, len(power)):
        wanted[frame] = np.mean([max(0.0, level[band, frame - 2] - level[band, frame - 3]) for band in range(128)])
    np.testing.assert_allclose(onset_strength(samples), wanted, atol=2e-3)


def test_flow_of_known_movement() -> None:
    """A texture that moves by two pixels to the right; standing still is no movement; the first frame counts twice."""
    pytest.importorskip("cv2", reason="OpenCV, which measures the flow, is not installed")
    random = np.random.default_rng(3)
    texture = np.kron(random.uniform(0, 255, (24, 40)), np.ones((8, 8)))
    kernel = np.hanning(9) / np.hanning(9).sum()
    for axis in (0, 1):
        texture = np.apply_along_axis(np.convolve, axis, texture, kernel, "same")
    meter = FlowMeter()
    for shift in (0, 2, 2, 4):
        grey = texture[40:140, 60 - shift : 220 - shift].astype(np.uint8)
        meter.push(np.repeat(grey[..., None], 3, axis=-1))
    assert len(meter.flow_px) == 4
    assert meter.flow_px[0] == meter.flow_px[1] == pytest.approx(2, rel=0.1)
    assert meter.flow_px[2] < 0.01
    assert meter.flow_px[3] == pytest.approx(2, rel=0.1)
    meter.push(np.zeros((20, 20, 3), np.uint8))
    assert np.isnan(meter.flow_px[-1])


def test_peaks_of_motion() -> None:
    """Strictly higher than both neighbours, and not too small; unknown neighbours hide a peak."""
    assert peak_places([0.5, 0.2, 0.3, 0.3, 0.1, 0.11, 0.05, 0.09, 0.0, 1.0]) == [5]
    assert peak_places([0.0, 0.1, 0.0, 3.0, 2.0]) == [1, 3]
    assert peak_places([0.0, 3.0, np.nan, 3.0, 0.0]) == peak_places([]) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12), st.lists(st.integers(0, 60), max_size=12))
def test_pairs_are_the_most_there_can_be(onsets: list[int], motion: list[int]) -> None:
    """Against a matching of graphs."""
    a, v = (np.unique(times) / 16 for times in (onsets, motion))
    found = intersection_over_union(a.tolist(), v.tolist(), 0.125)
    if not len(a) or not len(v):
        assert found is None
        return
    near = np.abs(a[:, None] - v[None]) < 0.125
    matched = int((maximum_bipartite_matching(csr_matrix(near)) >= 0).sum())
    assert found == matched / (len(a) + len(v) - matched)


def test_shuffled_by_hand() -> None:
    """With the sounds of other groups only, over the common time, and nothing where nothing can be measured."""
    first = Peaks((1.0, 2.0, 5.0), (1.01, 2.5, 5.0), 0.04, 6.0)
    second = Peaks((1.0, 2.51), (0.5,), 0.04, 3.0)
    silent = Peaks((), (0.5,), 0.04, 3.0)
    assert first.iou == pytest.approx(2 / 4)
    assert silent.iou is None
    # Of the first clip's motion two peaks lie before the end of the second clip.
    found = shuffled_ious([first, second, silent], ["a", "b", "b"], seed=0)
    assert found == [pytest.approx(1.0), 0.0, 0.0]
    assert shuffled_ious([first, second], ["a", "a"], seed=0) == [None, None]


def jumping(offset_seconds: float, path: Path) -> Path:
    """A bright square that jumps with each stroke of the sound, which is heard later by an offset."""
    times = np.arange(100) / 25
    frames = np.zeros((100, 96, 128, 3), np.uint8)
    for number, time in enumerate(times):
        place = 8 + 16 * sum(time >= struck for struck in STRUCK_SECONDS)
        frames[number, 30:70, place : place + 24] = 200
    samples = strokes(48_000)
    late = round(offset_seconds * 48_000)
    return write_clip(path, frames=frames, samples=np.pad(samples, (late, 0))[: len(samples)])


def test_a_clip_in_sync_and_one_that_is_not(tmp_path: Path) -> None:
    """What is seen and heard at once coincides, what is heard 300 ms later does not."""
    pytest.importorskip("cv2", reason="OpenCV, which measures the flow, is not installed")
    found: list[Any] = [read_peaks(jumping(offset, tmp_path / f"{offset}.mkv")) for offset in (0.0, 0.3)]
    assert found[0].frame_period_seconds == pytest.approx(0.04, abs=1e-3)
    assert found[0].end_seconds == pytest.approx(4.0, abs=0.01)
    assert found[0].iou > 0.6
    assert found[1].iou == 0.0
