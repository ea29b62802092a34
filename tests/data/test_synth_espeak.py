"""Speech through espeak-ng, where it is installed."""

import shutil

import numpy as np
import pytest

from cavsync.data.synth import ClipSpec, draw_specs, render
from cavsync.data.synth.espeak import articulation, espeak_available, espeak_speech
from cavsync.data.synth.worlds.world import World
from cavsync.errors import ConfigError

needs_espeak = pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")


@needs_espeak
def test_speech_covers_the_clip_and_repeats() -> None:
    first, again = (espeak_speech(np.random.default_rng(4), 3.0, 16000) for _ in range(2))
    assert len(first.sounds) > 3
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(first.sounds, again.sounds, strict=True))
    assert first.sounds[0].time_seconds < -2
    assert first.sounds[-1].time_seconds > 4
    assert len(first.opening) == (11 * 200)
    assert 0 <= first.opening.min() < 0.02 < 0.7 < first.opening.max() <= 1


@needs_espeak
def test_clips_speak_and_their_events_follow_the_sound() -> None:
    spec = ClipSpec(3, "face", speech="espeak-ng", clutter=0, width=96, height=96)
    clip = render(spec)
    assert len(clip.events) > 6
    audio = clip.audio[:, 0]
    loud = [np.abs(audio[round(e * 16000) : round(e * 16000) + 1600]).max() for e in clip.events if e < 5.8]
    assert np.median(loud) > 0.05


def test_articulation_opens_for_open_vowels_without_delay() -> None:
    """A 750 Hz tone (first formant of an open vowel) from 0.5 to 1.0 s; a 250 Hz hum from 1.5 to 2.0 s."""
    time = np.arange(int(2.5 * 16000)) / 16000
    vowel = 0.5 * np.sin(2 * np.pi * 750 * time) * ((time >= 0.5) & (time < 1.0))
    hum = 0.5 * np.sin(2 * np.pi * 250 * time) * ((time >= 1.5) & (time < 2.0))
    opening, _ = articulation((vowel + hum).astype(np.float32), 16000)
    moments = np.arange(len(opening)) / 200
    opened = moments[opening > 0.5]
    assert opened[0] == pytest.approx(0.5, abs=0.02)
    assert opened[-1] == pytest.approx(1.0, abs=0.02)
    assert opening[(moments > 1.55) & (moments < 1.95)].max() < 0.2


def test_without_the_program_faces_are_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert {spec.speech for spec in draw_specs(8, 1, families=["face"])} == {"synthetic"}
    with pytest.raises(ConfigError, match="not installed"):
        render(ClipSpec(1, "face", speech="espeak-ng"))


@needs_espeak
def test_speakers_of_a_world_take_turns_in_their_own_voices() -> None:
    """Two heads share a clip; each phrase belongs to the turn of its speaker."""
    shape = {"duration_seconds": 3.0, "width": 96, "height": 64, "speech": "espeak-ng"}
    world = next(w for seed in range(30) if len((w := World(ClipSpec(seed, "voices", **shape))).actors) == 2  # type: ignore[arg-type]
                 and {placed.actor.label for placed in w.actors} == {"voice", "voice-2"})  # fmt: skip
    first, second = (placed.actor for placed in world.actors)
    assert min(len(first.sounds), len(second.sounds)) >= 2
    assert not {sound.time_seconds for sound in first.sounds} & {sound.time_seconds for sound in second.sounds}
    assert {label for _, label in world.events()[0] + world.events()[1]} >= {"voice", "voice-2"}


def test_voices_fall_back_to_formants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert {spec.speech for spec in draw_specs(8, 1, families=["voices"])} == {"synthetic"}
    with pytest.raises(ConfigError, match="not installed"):
        render(ClipSpec(1, "voices", speech="espeak-ng"))
