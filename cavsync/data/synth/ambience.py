"""Background sound without a visible source: continuous beds of varying loudness, and off-screen hits."""

from __future__ import annotations

import numpy as np
from scipy import signal

from cavsync.data.synth.rhythm import bursts
from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.timbres import band_noise


def ambience(spec: ClipSpec) -> AudioArray:
    """Return the background sound of the whole clip, float32 (samples, channels); all zeros at clutter 0."""
    rng = spec.random("ambience")
    bed = str(rng.choice(["traffic", "hum", "babble", "music", "wind"]))
    mono = np.zeros(spec.sample_count, dtype=np.float32)
    if spec.clutter > 0:
        level = spec.clutter * 10 ** (rng.uniform(-33, -24) / 20)
        mono += level * _bed(rng, bed, spec)
        mono += _offscreen_hits(rng, spec)
    # The background has another level in each channel; visible objects are panned over the front channels.
    gains = rng.uniform(0.5, 1.0, spec.channels)
    return np.asarray(mono[:, None] * gains[None, :], dtype=np.float32)


def _bed(rng: np.random.Generator, bed: str, spec: ClipSpec) -> AudioArray:
    """Return a bed with standard deviation about 1 whose loudness varies at random."""
    rate_hz, count = spec.audio_rate_hz, spec.sample_count
    time = np.arange(count) / rate_hz
    if bed == "music":
        wave = _chords(rng, time)
    elif bed == "hum":
        f = float(rng.choice([50.0, 60.0]))
        order = np.array([[1.0], [2.0], [3.0], [5.0], [7.0]])
        wave = 0.5 * (np.sin(2 * np.pi * order * f * time + order) / order**0.7).sum(axis=0)
        wave += 0.3 * band_noise(rng, count, rate_hz, (200, 3000))
    else:
        band = {"traffic": (60.0, 900.0), "babble": (250.0, 2500.0), "wind": (80.0, 500.0)}[bed]
        wave = band_noise(rng, count, rate_hz, band)
    swell_hz = {"babble": 5.0, "music": 0.5}.get(bed, 1.2)
    knots = np.arange(0, time[-1] + 2 / swell_hz, 1 / swell_hz)
    swell = np.exp(0.6 * np.interp(time, knots, rng.standard_normal(len(knots))))
    return np.asarray(wave * swell, dtype=np.float32)


def _chords(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Return soft pads that change chord at random times, at pitches other than those of the keys family."""
    wave = np.zeros_like(time)
    start, root_hz = 0.0, float(rng.uniform(90, 140))
    while start < time[-1]:
        length = rng.uniform(0.7, 1.8)
        envelope = np.clip((time - start) / 0.25, 0, 1) * np.clip((start + length + 0.3 - time) / 0.3, 0, 1)
        degree = 2 ** (rng.choice([0, 2, 5, 7, 9]) / 12)
        for ratio in (1.0, 1.26, 1.5, 2.0):
            wave += 0.4 * envelope * np.sin(2 * np.pi * root_hz * degree * ratio * time + 6 * rng.random())
        start += length
    return wave


def _offscreen_hits(rng: np.random.Generator, spec: ClipSpec) -> AudioArray:
    """Return off-screen sounds in one of two timbres that no visible object has: a dull door, a short buzzing horn."""
    rate_hz, count = spec.audio_rate_hz, spec.sample_count
    wave = np.zeros(count, dtype=np.float32)
    horn = rng.random() < 0.4
    for time_seconds in bursts(rng, spec.duration_seconds, rng.uniform(0.6, 1.1), spec.clutter):
        start = round(time_seconds * rate_hz)
        gain = rng.uniform(0.15, 0.45)
        sound = gain * (_horn(rng, rate_hz) if horn else _door(rng, rate_hz))
        stop = min(count, start + len(sound))
        if 0 <= start < stop:
            wave[start:stop] += sound[: stop - start]
    return wave


def _door(rng: np.random.Generator, rate_hz: int) -> AudioArray:
    time = np.arange(int(0.3 * rate_hz)) / rate_hz
    noise = band_noise(rng, len(time), rate_hz, (280, 650))
    return np.asarray(0.35 * noise * np.exp(-time / 0.06) * np.minimum(1, time / 0.01), dtype=np.float32)


def _horn(rng: np.random.Generator, rate_hz: int) -> AudioArray:
    time = np.arange(int(rng.uniform(0.15, 0.35) * rate_hz)) / rate_hz
    buzz = signal.sawtooth(2 * np.pi * 233 * time) + signal.sawtooth(2 * np.pi * 277 * time)
    envelope = np.minimum(1, time / 0.03) * np.minimum(1, (time[-1] - time) / 0.05)
    return np.asarray(0.25 * buzz * envelope, dtype=np.float32)
