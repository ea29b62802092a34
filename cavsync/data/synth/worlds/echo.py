"""The sound of a world: dry sounds with the echo of their place, mixed on the time line of the video, then shifted.

The echo is that of a shoebox (Allen and Berkley 1979, image sources up to the second order) with a tail of velvet noise
(random impulses of both signs, Karjalainen and Järveläinen 2007). The direct sound has no delay, so that an event is
heard at its time.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage, signal

from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.spec import MARGIN_SECONDS, ClipSpec
from cavsync.data.synth.worlds.place import Place

_SPEED_OF_SOUND = 343.0
_VELVET_PER_SECOND = 2000.0


@dataclass(frozen=True)
class HeardActor:
    """The sounds of one actor with the gain and the panning at which they are heard."""

    sounds: list[Sound]
    gain: float
    pan: float


def mix_world(spec: ClipSpec, place: Place, heard: list[HeardActor]) -> AudioArray:
    """Return the sound of the clip without background, float32 (samples, channels): the sound at video time e is heard
    at e - offset_ms_at(e) / 1000."""
    rng = spec.random("echo")
    count = round((spec.duration_seconds + 2 * MARGIN_SECONDS) * spec.audio_rate_hz)
    direct = np.zeros((count, 2), dtype=np.float32)
    send = np.zeros(count, dtype=np.float32)
    for actor in heard:
        line = _line(spec, actor, count)
        angle = (np.clip(actor.pan, -1, 1) + 1) * np.pi / 4
        direct += line[:, None] * np.array([np.cos(angle), np.sin(angle)], dtype=np.float32) * np.float32(np.sqrt(2))
        send += line
    if spec.clutter > 0:
        response = echo(rng, place, spec.audio_rate_hz)
        for side in range(2):
            direct[:, side] += signal.fftconvolve(send, response[:, side])[:count].astype(np.float32)
    return _spread(_shifted(spec, direct), spec.channels)


def _line(spec: ClipSpec, actor: HeardActor, count: int) -> AudioArray:
    """Return an actor's sounds on the time line of the video, which begins MARGIN_SECONDS before the clip."""
    line = np.zeros(count, dtype=np.float32)
    for sound in actor.sounds:
        start = round((sound.time_seconds + MARGIN_SECONDS) * spec.audio_rate_hz)
        first, last = max(start, 0), min(start + len(sound.samples), count)
        if first < last:
            line[first:last] += sound.samples[first - start : last - start] * np.float32(actor.gain)
    return line


def echo(rng: np.random.Generator, place: Place, rate_hz: int) -> AudioArray:
    """Return the impulse response (samples, 2) of a place for two ears, without the direct sound."""
    size = place.high - place.low
    listener, source = (place.low + size * rng.uniform(0.25, 0.75, 3) for _ in range(2))
    near = float(np.linalg.norm(listener - source))
    count = int(place.reverb_seconds * 1.1 * rate_hz) + round(0.05 * rate_hz)
    response = np.zeros((count, 2))
    reflected = float(np.exp(-13.8 * float(size.mean()) / (_SPEED_OF_SOUND * place.reverb_seconds)))
    for image in product(range(-2, 3), repeat=3):
        order = sum(map(abs, image))
        if not 1 <= order <= 2 or (place.outdoors and image != (0, -1, 0)):
            continue
        number, inside = np.array(image), source - place.low
        at = place.low + size * number + np.where(number % 2 == 0, inside, size - inside)
        far = float(np.linalg.norm(at - listener))
        for ear in range(2):
            delay = round((max(far - near, 0.3) / _SPEED_OF_SOUND + rng.uniform(0, 4e-4)) * rate_hz)
            if delay < count:
                response[delay, ear] += 0.8 * reflected**order * near / far
    time = np.arange(count) / rate_hz
    pulses = (rng.random((count, 2)) < _VELVET_PER_SECOND / rate_hz) * rng.choice([-1.0, 1.0], (count, 2))
    tail = pulses * np.exp(-6.9 * time / place.reverb_seconds)[:, None] * np.clip((time - 0.01) / 0.03, 0, 1)[:, None]
    tail = signal.lfilter([0.45], [1, -0.55], tail, axis=0)
    level = 10 ** (-(rng.uniform(18, 26) if place.outdoors else rng.uniform(3, 16)) / 20)
    response += tail * level / max(float(np.sqrt((tail**2).sum() / 2)), 1e-9)
    return np.asarray(response, dtype=np.float32)


def _shifted(spec: ClipSpec, line: AudioArray) -> AudioArray:
    """Return the part of a time line that is heard during the clip, with its offset and drift."""
    heard = np.arange(spec.sample_count)
    if spec.drift_ms_per_minute == 0:
        start = round((MARGIN_SECONDS + spec.audio_offset_ms / 1000) * spec.audio_rate_hz)
        return line[start : start + spec.sample_count].copy()
    seconds = (heard / spec.audio_rate_hz + spec.audio_offset_ms / 1000) / (1 - spec.drift_ms_per_minute / 60_000)
    at = (seconds + MARGIN_SECONDS) * spec.audio_rate_hz
    sides = [ndimage.map_coordinates(line[:, side], at[None], order=3, mode="constant") for side in range(2)]
    return np.stack(sides, axis=1).astype(np.float32)


def _spread(stereo: AudioArray, channels: int) -> AudioArray:
    """Return a stereo sound in 1, 2 or 6 channels; 5.1 adds the middle to the centre."""
    if channels == 2:
        return stereo
    middle = stereo.mean(axis=1, keepdims=True)
    if channels == 1:
        return np.asarray(middle, dtype=np.float32)
    nothing = np.zeros((len(stereo), 3), dtype=np.float32)
    return np.concatenate([stereo, 0.7 * middle, nothing], axis=1, dtype=np.float32)
