"""Rendered clips: determinism, and sounds at the sample and frames at the instant that the truth names."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.data.synth import FAMILIES, ClipSpec, render
from cavsync.data.synth.drummer import Drummer
from cavsync.data.synth.face import Face
from cavsync.data.synth.impacts import Impacts
from cavsync.data.synth.keys import KEY_COLOURS, PITCHES_HZ, Keys
from cavsync.data.synth.render import mix
from cavsync.data.synth.rhythm import Stroke, Strokes, irregular_times, with_near_misses
from cavsync.data.synth.scene import Scene, Sound

SHORT = {"duration_seconds": 2.0, "fps": Fraction(10), "width": 96, "height": 96}


def _hash(spec: ClipSpec) -> str:
    clip = render(spec)
    digest = hashlib.sha256(clip.audio.tobytes())
    for pts_seconds, frame in clip.frames:
        digest.update(f"{pts_seconds:.9f}".encode() + frame.tobytes())
    return digest.hexdigest()


def _frames(spec: ClipSpec) -> np.ndarray:
    return np.stack([frame for _, frame in render(spec).frames])


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_specs_give_equal_frames_and_samples(family: str) -> None:
    spec = ClipSpec(7, family, **SHORT)  # type: ignore[arg-type]
    assert _hash(spec) == _hash(spec)
    assert _hash(spec) != _hash(replace(spec, seed=8))


@pytest.mark.parametrize("family", FAMILIES)
def test_shapes_ranges_and_timestamps(family: str) -> None:
    spec = ClipSpec(3, family, duration_seconds=1.0, fps=Fraction(30000, 1001), channels=6, audio_rate_hz=48000)
    clip = render(spec)
    frames = list(clip.frames)
    assert [pts for pts, _ in frames] == pytest.approx([k * 1001 / 30000 for k in range(30)], abs=1e-12)
    assert all(frame.shape == (144, 192, 3) and frame.dtype == np.uint8 for _, frame in frames)
    assert clip.audio.shape == (48000, 6)
    assert clip.audio.dtype == np.float32
    assert 0.02 < np.abs(clip.audio).max() <= 0.8 + 1e-6
    assert len(clip.events) == len(clip.labels) > 0
    assert all(0 <= event < 1 for event in clip.events)


@given(
    event=st.floats(0, 2), offset_ms=st.floats(-1000, 1000), drift=st.floats(-500, 500), rate=st.integers(16000, 48000)
)
@settings(max_examples=100, deadline=None)
def test_a_click_lands_on_its_true_sample(event: float, offset_ms: float, drift: float, rate: int) -> None:
    spec = ClipSpec(1, "keys", 2.0, clutter=0, audio_rate_hz=rate, audio_offset_ms=offset_ms, drift_ms_per_minute=drift)
    audio = mix(spec, [Sound(event, np.array([0.5], dtype=np.float32), "click")])
    heard_seconds = event - (offset_ms + drift * event / 60) / 1000
    expected = [round(heard_seconds * rate)] if 0 <= round(heard_seconds * rate) < 2 * rate else []
    assert np.flatnonzero(audio[:, 0]).tolist() == expected


@pytest.mark.parametrize(("family", "scene"), [("impacts", Impacts), ("drummer", Drummer), ("keys", Keys)])
def test_the_sound_track_is_the_scenes_sounds_at_their_true_samples(
    family: str, scene: Callable[[ClipSpec], Scene]
) -> None:
    spec = ClipSpec(11, family, clutter=0, fps=Fraction(5), audio_offset_ms=213.0, drift_ms_per_minute=-300.0)
    line = np.zeros(spec.sample_count + 20 * 16000)
    for sound in scene(spec).sounds:
        assert abs(sound.samples[0]) > 0 or abs(sound.samples[1]) > 0  # nothing but the attack before it is heard
        heard_seconds = sound.time_seconds - (213.0 - 300.0 * sound.time_seconds / 60) / 1000
        start = round(heard_seconds * 16000) + 10 * 16000
        line[start : start + len(sound.samples)] += sound.samples
    expected = line[10 * 16000 :][: spec.sample_count]
    clip = render(spec)
    gain = min(1.0, 0.8 / np.abs(expected).max())
    assert np.abs(clip.audio[:, 0] - gain * expected).max() < 1e-5
    times = sorted(sound.time_seconds for sound in scene(spec).sounds if 0 <= sound.time_seconds < 6)
    assert clip.events == tuple(times)


@pytest.mark.parametrize("family", FAMILIES)
def test_offset_moves_the_sound_and_leaves_the_picture(family: str) -> None:
    """Without background, sound that is 250 ms early is the same sound 4000 samples further left."""
    spec = ClipSpec(5, family, clutter=0, duration_seconds=3.0, fps=Fraction(5), width=96, height=96)
    early = replace(spec, audio_offset_ms=250.0)
    here, there = render(spec).audio[:, 0], render(early).audio[:, 0]
    here, there = here[4000:], there[:-4000]
    gain = float(here @ there) / float(here @ here)  # each clip has a peak level of its own
    assert np.abs(there - gain * here).max() < 1e-5
    assert np.array_equal(_frames(spec), _frames(early))
    assert render(spec).events == render(early).events


def test_shifted_clips_have_sound_up_to_both_ends() -> None:
    for offset_ms in (-1500.0, 1500.0):
        spec = ClipSpec(2, "impacts", clutter=0, audio_offset_ms=offset_ms)
        audio = render(spec).audio[:, 0]
        assert np.abs(audio[:24000]).max() > 0.05
        assert np.abs(audio[-24000:]).max() > 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_silent_clips_are_silent_and_static_ones_frozen(family: str) -> None:
    levels = []
    for seed in range(6):
        silent = render(ClipSpec(seed, family, silent=True, **SHORT))  # type: ignore[arg-type]
        assert silent.events == ()
        levels.append(float(np.abs(silent.audio).max()))
    assert max(levels) < 1e-3
    assert min(levels) == 0.0 < max(levels)
    frames = _frames(ClipSpec(1, family, static=True, **SHORT))  # type: ignore[arg-type]
    assert (frames == frames[0]).all()
    assert len(render(ClipSpec(1, family, static=True, **SHORT)).events) > 0  # type: ignore[arg-type]


def test_a_key_lights_up_in_the_first_frame_after_its_note() -> None:
    spec = ClipSpec(21, "keys", clutter=0, fps=Fraction(50), width=160, height=160)
    scene, clip = Keys(spec), render(spec)
    frames = np.stack([image for _, image in clip.frames]).astype(np.float64)
    for event, label in zip(clip.events, clip.labels, strict=True):
        key = int(label.removeprefix("key-"))
        (u0, v0), (u1, v1) = scene.box(key)
        rows, columns = slice(int(v0 * 160) + 3, int(v1 * 160) - 3), slice(int(u0 * 160) + 3, int(u1 * 160) - 3)
        colour = frames[:, rows, columns].mean(axis=(1, 2))
        distance = np.linalg.norm(colour - np.array(KEY_COLOURS[key]), axis=1)
        frame = int(np.ceil(event * 50 - 1e-9))
        if 0 < frame < len(frames):
            assert distance[frame] < 0.7 * distance[frame - 1]


def test_notes_sound_at_the_pitch_of_their_key() -> None:
    spec = ClipSpec(21, "keys", clutter=0)
    for sound in Keys(spec).sounds[:12]:
        spectrum = np.abs(np.fft.rfft(sound.samples * np.hanning(len(sound.samples)), 1 << 16))
        loudest_hz = float(np.argmax(spectrum)) * spec.audio_rate_hz / (1 << 16)
        assert loudest_hz == pytest.approx(PITCHES_HZ[int(sound.label[-1])], rel=0.02)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_mouth_follows_the_speech(seed: int) -> None:
    """Mouth opening and loudness in the vowels' band agree best without any shift (to within two frames of film)."""
    spec = ClipSpec(seed, "face", clutter=0, width=96, height=96)
    speech = Face(spec).speech
    times = np.arange(0.0, 6.0, 0.01)
    opening = np.array([speech.mouth(time)[0] for time in times])
    audio = render(spec).audio[:, 0]
    level = np.sqrt(
        np.array([np.mean(np.square(audio[max(0, i - 200) : i + 200])) for i in (times * 16000).astype(int)])
    )
    scores = [np.corrcoef(opening[100:-100], np.roll(level, -lag)[100:-100])[0, 1] for lag in range(-60, 61)]
    assert abs(int(np.argmax(scores)) - 60) <= 5
    assert max(scores) > 0.6


@given(seed=st.integers(0, 10**6), interval=st.floats(0.3, 1.0))
@settings(max_examples=30, deadline=None)
def test_rhythms_are_irregular_and_cover_the_margins(seed: int, interval: float) -> None:
    times = irregular_times(np.random.default_rng(seed), 6.0, interval)
    gaps = np.diff(times)
    assert times[0] < -4 + 1.5 * interval + 1e-9
    assert times[-1] > 10 - 1.5 * interval - 1e-9
    assert gaps.min() >= 0.5 * interval - 1e-9
    assert gaps.max() <= 1.5 * interval + 1e-9
    assert gaps.std() > 0.1 * interval


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_strokes_touch_at_their_hits_and_never_between(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hits = [Stroke(time, 0.0) for time in np.cumsum(rng.uniform(0.5, 1.5, 8)).tolist()]
    strokes = Strokes(with_near_misses(rng, hits, 0.36, 0.9), 0.17, 0.06, 0.22)
    for hit in hits:
        assert strokes.height(hit.time_seconds) == pytest.approx(0, abs=1e-9)
        assert strokes.height(hit.time_seconds - 0.06) > 0.03
        assert strokes.since_contact(hit.time_seconds + 0.01)[0] == pytest.approx(0.01)
    grid = np.arange(0, hits[-1].time_seconds, 0.004)
    heights = np.array([strokes.height(time) for time in grid])
    assert heights.min() >= -1e-9
    assert heights.max() <= 1 + 1e-9
    moments = np.array([hit.time_seconds for hit in hits])
    touching = grid[heights < 0.02]
    since = np.min(np.where(touching[:, None] >= moments, touching[:, None] - moments, np.inf), axis=1, initial=np.inf)
    before = np.min(np.abs(touching[:, None] - moments), axis=1, initial=np.inf)
    assert (np.minimum(since, before) < 0.06 + 0.06).all()
