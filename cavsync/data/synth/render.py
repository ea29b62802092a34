"""Render a clip's description into frames and samples, each sound at its exact sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.ambience import ambience
from cavsync.data.synth.camera import Frame
from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.spec import WORLD_FAMILIES, ClipSpec
from cavsync.data.synth.stage import Stage, open_scene
from cavsync.data.synth.worlds.world import World

_PEAK = 0.8


@dataclass(frozen=True)
class RenderedClip:
    """A clip before encoding.

    `frames` is an iterator of (pts in seconds, RGB uint8 (height, width, 3)); `audio` is float32 (samples, channels)
    within ±0.8; `events` are the times in the video, in seconds, of the true events inside the clip, `labels` the
    sources of their sounds. `unseen_events` and `unseen_labels` are those of sounds whose source is out of sight.
    """

    frames: Iterator[tuple[float, Frame]]
    audio: AudioArray
    events: tuple[float, ...]
    labels: tuple[str, ...]
    unseen_events: tuple[float, ...] = ()
    unseen_labels: tuple[str, ...] = ()


def render(spec: ClipSpec) -> RenderedClip:
    """Render one clip: frame k shows the scene at k / fps; the sound of an event at video time e starts at sample
    round((e - offset_ms_at(e) / 1000) * audio_rate_hz).

    Raises ConfigError if the spec needs espeak-ng and it is missing.
    """
    if spec.family in WORLD_FAMILIES:
        return _render_world(spec)
    scene = open_scene(spec)
    sounds = [] if spec.silent else scene.sounds
    marked = sorted((time, sound.label) for sound in sounds for time in sound.event_times)
    inside = [(time, label) for time, label in marked if 0 <= time < spec.duration_seconds]
    return RenderedClip(
        frames=_frames(spec, Stage(spec, scene)),
        audio=_silence(spec) if spec.silent else mix(spec, sounds),
        events=tuple(time for time, _ in inside),
        labels=tuple(label for _, label in inside),
    )


def _render_world(spec: ClipSpec) -> RenderedClip:
    world = World(spec)
    seen, unseen = ([], []) if spec.silent else world.events()
    return RenderedClip(
        frames=_frames(spec, world),
        audio=_silence(spec) if spec.silent else world.audio(),
        events=tuple(time for time, _ in seen),
        labels=tuple(label for _, label in seen),
        unseen_events=tuple(time for time, _ in unseen),
        unseen_labels=tuple(label for _, label in unseen),
    )


def _frames(spec: ClipSpec, stage: Stage | World) -> Iterator[tuple[float, Frame]]:
    frame: Frame | None = None
    for index in range(spec.frame_count):
        if frame is None or not spec.static:
            frame = stage.frame(index)
        yield float(index / spec.fps), frame


def mix(spec: ClipSpec, sounds: list[Sound]) -> AudioArray:
    """Mix all sounds at their times over the background sound, float32 (samples, channels), peak at most 0.8."""
    audio = ambience(spec)
    for sound in sounds:
        offset_seconds = spec.offset_ms_at(sound.time_seconds) / 1000
        start = round((sound.time_seconds - offset_seconds) * spec.audio_rate_hz)
        first, last = max(start, 0), min(start + len(sound.samples), spec.sample_count)
        if first < last:
            audio[first:last] += sound.samples[first - start : last - start, None] * _gains(sound.pan, spec.channels)
    peak = float(np.abs(audio).max())
    return audio if peak <= _PEAK else audio * np.float32(_PEAK / peak)


def _gains(pan: float, channels: int) -> AudioArray:
    """Return the gain of each channel: constant-power panning; 5.1 adds half to the centre, nothing elsewhere."""
    if channels == 1:
        return np.ones(1, dtype=np.float32)
    angle = (np.clip(pan, -1, 1) + 1) * np.pi / 4
    left, right = float(np.cos(angle)), float(np.sin(angle))
    return np.array([left, right] if channels == 2 else [left, right, 0.5, 0, 0, 0], dtype=np.float32)


def _silence(spec: ClipSpec) -> AudioArray:
    """Return digital silence, or for half of the clips the hiss of an open input at -80 dBFS."""
    rng = spec.random("silence")
    level = float(rng.choice([0.0, 1e-4]))
    hiss = level * rng.standard_normal((spec.sample_count, spec.channels))
    return np.asarray(hiss, dtype=np.float32)
