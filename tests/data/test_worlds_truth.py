"""Worlds keep their truth: seen in the pictures and heard in the sound, events come when the description says."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cavsync.data.synth import WORLD_FAMILIES, ClipSpec, render
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.worlds.world import World

FPS = 50
FRAME_SECONDS = 1 / FPS
# At clutter 0 a world holds one actor, a still camera and no echo.
CALM = {"duration_seconds": 3.0, "fps": Fraction(FPS), "width": 128, "height": 96, "clutter": 0.0}


def _calm(family: str, label: str) -> ClipSpec:
    """The first clip of a family whose actor has a label."""
    for seed in range(40):
        spec = ClipSpec(seed, family, **CALM)  # type: ignore[arg-type]
        seen, _ = World(spec).events()
        if seen and seen[0][1].startswith(label):
            return spec
    raise AssertionError(f"no clip of {label}")


def _owned(spec: ClipSpec) -> np.ndarray:
    """Where the sounding parts of the actor are, (frames, height, width)."""
    world = World(spec)
    return np.stack([world.owners(index)[0] > 0 for index in range(spec.frame_count)])


def _pictures(spec: ClipSpec) -> np.ndarray:
    return np.stack([frame for _, frame in render(spec).frames]).astype(np.float64).mean(axis=3)


def _onsets(spec: ClipSpec, jump: float) -> np.ndarray:
    """Times at which the level of the sound, in steps of 2 ms, rises `jump`-fold above the 20 ms before."""
    audio = render(spec).audio[:, 0].astype(np.float64)
    step = spec.audio_rate_hz // 500
    level = np.abs(audio[: len(audio) // step * step]).reshape(-1, step).max(axis=1)
    before = np.array([level[max(index - 10, 0) : index].max() if index else 1.0 for index in range(len(level))])
    found = np.flatnonzero((level > jump * before) & (level > 0.03 * level.max()))
    return found[np.diff(found, prepend=-99) > 10] / 500


def _near(times: np.ndarray, event: float) -> float:
    return float(np.min(np.abs(np.asarray(times) - event), initial=9.0))


@pytest.mark.parametrize(
    ("family", "label"),
    [("balls", "ball-"), ("tools", "hammer"), ("plucked", ""), ("animals", "animal"), ("walking", "steps"),
     ("screen", ""), ("machines", "machine-pump")],
)  # fmt: skip
def test_onsets_of_the_sound_are_the_events(family: str, label: str) -> None:
    """Found in the samples alone, onsets lie at events, and few events have none (they fall into a louder sound)."""
    spec = _calm(family, label)
    events = [time for time, _ in World(spec).events()[0] if 0.05 < time < 2.9]
    onsets = _onsets(spec, 2.0)
    assert len(events) >= 2
    assert np.mean([_near(onsets, event) < 0.012 for event in events]) >= 0.6


def _rolls(spec: ClipSpec) -> bool:
    """Rolling balls also make a noise that begins with the margin before the clip."""
    return min(sound.time_seconds for sound in World(spec).sounds) <= -MARGIN_SECONDS


def _turning_points(spec: ClipSpec) -> list[tuple[float, float]]:
    """(event, nearest time at which the sounding part is lowest), where it visibly goes down and up."""
    bottom = np.array([np.flatnonzero(frame.any(axis=1)).max() if frame.any() else 0 for frame in _owned(spec)])
    found = []
    for event in render(spec).events:
        around = np.arange(int((event - 0.1) * FPS), int((event + 0.1) * FPS) + 1)
        around = around[(around >= 0) & (around < len(bottom))]
        lowest = around[bottom[around] == bottom[around].max()] / FPS
        if len(around) > 8 and np.ptp(bottom[around]) > 4:
            found.append((event, float(lowest[np.argmin(np.abs(lowest - event))])))
    return found


def test_balls_and_pistons_turn_round_at_their_events() -> None:
    bouncing = (ClipSpec(seed, "balls", **CALM) for seed in range(40))  # type: ignore[arg-type]
    for spec in (next(spec for spec in bouncing if not _rolls(spec)), _calm("machines", "machine-pump")):
        pairs = _turning_points(spec)
        assert len(pairs) >= 2
        assert all(abs(seen - event) <= FRAME_SECONDS for event, seen in pairs)


def test_the_struck_piece_is_touched_at_its_events() -> None:
    """The picture changes least from the frame before contact on; the hammer comes to rest on the piece."""
    spec = _calm("tools", "hammer")
    motion = np.abs(np.diff(_pictures(spec), axis=0)).mean(axis=(1, 2))
    for event in [event for event in render(spec).events if 0.2 < event < 2.8]:
        index = int(np.ceil(event * FPS))
        falling, resting = motion[index - 6 : index - 1].max(), motion[index : index + 1].max()
        assert resting < 0.7 * falling


def test_strings_are_displaced_at_their_plucks_and_never_else() -> None:
    """In steps of 2 ms: a string that swings moves by 3 mm at most, one that is let go jumps."""
    spec = _calm("plucked", "plucked")
    actor = World(spec).actors[0].actor
    times = np.arange(0.2, 2.7, 0.002)
    heights = np.array([[solid.centre[1] for solid in actor.solids(time) if solid.owner] for time in times])
    jumps = times[1:][(np.abs(np.diff(heights, axis=0)) > 0.005).any(axis=1)]
    events = [time for time, _ in World(spec).events()[0] if 0.21 < time < 2.69]
    assert len(events) >= 3
    assert all(_near(jumps, event) <= 0.002 for event in events)
    assert all(_near(np.array(events), jump) <= 0.002 for jump in jumps)


@pytest.mark.parametrize(("family", "label"), [("animals", "animal-"), ("voices", "voice")])
def test_mouths_open_with_the_sound(family: str, label: str) -> None:
    """The part of the picture that belongs to the head changes when the sound begins, not before."""
    spec = replace(_calm(family, label), duration_seconds=6.0)
    frames = _pictures(spec)
    owned = _owned(spec).any(axis=0)
    motion = np.abs(np.diff(frames, axis=0))[:, owned].mean(axis=1)
    audio = render(spec).audio[:, 0].astype(np.float64)
    samples = spec.audio_rate_hz // FPS
    level = np.sqrt(np.square(audio[: len(frames) * samples]).reshape(len(frames), samples).mean(axis=1))
    change = np.abs(np.diff(level))
    scores = [np.corrcoef(motion[30:-30], np.roll(change, -lag)[30:-30])[0, 1] for lag in range(-25, 26)]
    assert abs(int(np.argmax(scores)) - 25) <= 3  # 60 ms: lips part before the voice is loud


def test_feet_rest_from_their_step_on() -> None:
    spec = _calm("walking", "steps")
    owned = _owned(spec).astype(np.int8)
    changed = np.abs(np.diff(owned, axis=0)).sum(axis=(1, 2)).astype(np.float64)
    events = [event for event in render(spec).events if 0.3 < event < 2.7]
    assert len(events) >= 2
    for event in events:
        index = int(np.ceil(event * FPS))
        assert changed[index] < changed[index - 6 : index - 1].max()


def test_a_screen_changes_in_the_first_frame_after_its_click() -> None:
    spec = _calm("screen", "screen")
    changed = np.abs(np.diff(_pictures(spec), axis=0)).max(axis=(1, 2))
    events = [event for event in render(spec).events if 0.1 < event < 2.9]
    for event in events:
        index = int(np.ceil(event * FPS - 1e-9))  # the first frame that shows it
        assert changed[index - 1] > 20


def test_a_bow_is_heard_as_fast_as_it_moves() -> None:
    spec = replace(_calm("bowed", "bowed"), duration_seconds=6.0)
    owned = _owned(spec)
    place = np.array([np.flatnonzero(frame.any(axis=0)).mean() for frame in owned])
    speed = np.abs(np.gradient(place))
    audio = render(spec).audio[:, 0].astype(np.float64)
    samples = spec.audio_rate_hz // FPS
    level = np.sqrt(np.square(audio[: len(owned) * samples]).reshape(len(owned), samples).mean(axis=1))
    scores = [np.corrcoef(speed[30:-30], np.roll(level, -lag)[30:-30])[0, 1] for lag in range(-25, 26)]
    assert abs(int(np.argmax(scores)) - 25) <= 2
    assert max(scores) > 0.6


def test_a_machine_turns_as_fast_as_it_sounds() -> None:
    spec = next(
        spec for seed in range(60)
        if (spec := ClipSpec(seed, "machines", **CALM | {"duration_seconds": 6.0}))  # type: ignore[arg-type]
        and World(spec).sounds[0].label != "machine-pump" and len(World(spec).events()[0]) >= 3
    )  # fmt: skip
    motion = np.abs(np.diff(_pictures(spec), axis=0)).mean(axis=(1, 2))
    audio = render(spec).audio[:, 0].astype(np.float64)
    samples = spec.audio_rate_hz // FPS
    level = np.sqrt(np.square(audio[: spec.frame_count * samples]).reshape(-1, samples).mean(axis=1))[1:]
    kernel = np.ones(5) / 5
    motion, level = (np.convolve(curve, kernel, "same") for curve in (motion, level))
    scores = [np.corrcoef(motion[30:-30], np.roll(level, -lag)[30:-30])[0, 1] for lag in range(-25, 26)]
    assert abs(int(np.argmax(scores)) - 25) <= 3


@pytest.mark.parametrize("family", WORLD_FAMILIES)
def test_early_sound_has_a_positive_offset(family: str) -> None:
    """ITU-R BT.1359: at +240 ms the same sound comes 240 ms, 3840 samples, sooner; the picture stays."""
    spec = ClipSpec(5, family, **CALM | {"fps": Fraction(5)})  # type: ignore[arg-type]
    early = replace(spec, audio_offset_ms=240.0)
    here, there = render(spec).audio[3840:, 0], render(early).audio[:-3840, 0]
    gain = float(here @ there) / float(here @ here)
    assert np.abs(there - gain * here).max() < 1e-5
    assert np.array_equal(_pictures(spec), _pictures(early))


def test_drift_moves_sounds_as_the_spec_says() -> None:
    """With 600 ms per minute from -100 ms on, a step at 2 s is heard 2 s + 80 ms after the start."""
    spec = replace(_calm("walking", "steps"), audio_offset_ms=-100.0, drift_ms_per_minute=600.0)
    events = [event for event in render(spec).events if 0.2 < event < 2.6]
    onsets = _onsets(spec, 2.0)
    heard = [event - spec.offset_ms_at(event) / 1000 for event in events]
    assert np.mean([_near(onsets, time) < 0.012 for time in heard]) >= 0.6
