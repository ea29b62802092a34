"""The no-learning baseline finds what is obvious, with the right sign."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.errors import MediaError
from cavsync.evaluate.sync.motion_baseline import estimate_offset_ms, log_energy, motion_energy

RATE = 16000
EVENTS = (0.9, 1.7, 2.2, 3.3, 3.9, 4.6)


def _flash_and_beep(offset_ms: float, fps: float = 25.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square that jumps at each event, and a beep `offset_ms` before it."""
    pts = np.arange(int(6 * fps)) / fps
    frames = np.full((len(pts), 64, 64), 60, dtype=np.uint8)
    for event in EVENTS:
        frames[(pts >= event) & (pts < event + 0.07), 20:40, 20:40] = 220
    time = np.arange(6 * RATE) / RATE
    audio = np.zeros(len(time), dtype=np.float32)
    for event in EVENTS:
        start = event - offset_ms / 1000
        audio += ((time >= start) & (time < start + 0.08)) * np.sin(2 * np.pi * 800 * time).astype(np.float32)
    return frames, pts, audio


@given(offset_ms=st.integers(-700, 700), fps=st.sampled_from([15.0, 25.0, 29.97, 50.0]))
@settings(max_examples=25, deadline=None)
def test_finds_the_offset_with_its_sign(offset_ms: int, fps: float) -> None:
    frames, pts, audio = _flash_and_beep(offset_ms, fps)
    found = estimate_offset_ms(frames, pts, audio, RATE)
    # The flash shows in the first frame after the event and lasts 70 ms: up to one frame and half a flash of doubt.
    assert found.energy.audio_offset_ms == pytest.approx(offset_ms, abs=1000 / fps + 45)
    assert found.rise.audio_offset_ms == pytest.approx(offset_ms, abs=1000 / fps + 85)
    assert found.energy.correlation > 0.4


def test_the_zero_point_shifts_the_result() -> None:
    frames, pts, audio = _flash_and_beep(200.0)
    plain = estimate_offset_ms(frames, pts, audio, RATE)
    shifted = estimate_offset_ms(frames, pts, audio, RATE, zero_point_ms=60.0)
    assert shifted.energy.audio_offset_ms - plain.energy.audio_offset_ms == pytest.approx(60)


def test_correlation_is_pearsons() -> None:
    """At lag 0, with no search, the score equals numpy's own correlation coefficient."""
    frames, pts, audio = _flash_and_beep(0.0)
    grid = np.arange(pts[1], pts[-1], 0.01)
    motion = np.interp(grid, pts[1:], motion_energy(frames))
    expected = np.corrcoef(motion, log_energy(audio, RATE, grid))[0, 1]
    found = estimate_offset_ms(frames, pts, audio, RATE, max_offset_ms=0)
    assert found.energy.correlation == pytest.approx(expected, abs=1e-9)


def test_energies_by_hand() -> None:
    frames = np.zeros((3, 64, 64), dtype=np.uint8)
    frames[1, :32], frames[2] = 100, 255
    assert motion_energy(frames) == pytest.approx([50.0, (155 + 255) / 2])
    constant = np.full(RATE, 0.1, dtype=np.float32)
    assert log_energy(constant, RATE, np.array([0.5])) == pytest.approx(np.log(0.01), abs=1e-3)
    assert log_energy(np.zeros(RATE, dtype=np.float32), RATE, np.array([0.5])) == pytest.approx(np.log(1e-8))


def test_nothing_to_see_scores_zero() -> None:
    _, pts, audio = _flash_and_beep(0.0)
    found = estimate_offset_ms(np.zeros((len(pts), 64, 64), dtype=np.uint8), pts, audio, RATE)
    assert found.energy.correlation == found.rise.correlation == 0


def test_too_little_to_compare_is_refused() -> None:
    frames, pts, audio = _flash_and_beep(0.0)
    with pytest.raises(MediaError, match="three"):
        estimate_offset_ms(frames[:2], pts[:2], audio, RATE)
    with pytest.raises(MediaError, match="longer clip"):
        estimate_offset_ms(frames, pts, audio[: RATE // 2], RATE)
