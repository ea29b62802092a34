"""Synthetic speech with the matching motion of the mouth.

The synthesiser is a minimal form of Klatt's source-filter scheme: pulses through three formant resonators per vowel,
preceded by plosives, hisses and nasals. One list of syllables drives both the sound and the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.spec import MARGIN_SECONDS

TRACK_HZ = 200.0

# Formants in Hz of an average adult voice, mouth opening and mouth width in 0..1.
VOWELS: dict[str, tuple[tuple[float, float, float], float, float]] = {
    "a": ((760, 1250, 2550), 1.0, 0.65),
    "e": ((520, 1850, 2600), 0.6, 0.9),
    "i": ((300, 2250, 3000), 0.3, 1.0),
    "o": ((480, 880, 2500), 0.6, 0.3),
    "u": ((320, 720, 2350), 0.25, 0.1),
}
# Opening of the mouth during each consonant; bilabials close it.
CONSONANTS = {"p": 0.0, "b": 0.0, "m": 0.0, "s": 0.12, "t": 0.15, "n": 0.18}


@dataclass(frozen=True)
class Speech:
    """Spoken sounds, and the mouth at TRACK_HZ: `opening` and `width` in 0..1 from `start_seconds` on."""

    sounds: list[Sound]
    start_seconds: float
    opening: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]

    def mouth(self, time_seconds: float) -> tuple[float, float]:
        """Return (opening, width) at one instant."""
        index = round((time_seconds - self.start_seconds) * TRACK_HZ)
        index = min(max(index, 0), len(self.opening) - 1)
        return float(self.opening[index]), float(self.width[index])


def synthetic_speech(rng: np.random.Generator, duration_seconds: float, rate_hz: int) -> Speech:
    """Synthesise consonant-vowel syllables in phrases with pauses, over the clip and its margins."""
    start, stop = -MARGIN_SECONDS, duration_seconds + MARGIN_SECONDS
    pitch_hz, tract = rng.uniform(95, 230), rng.uniform(0.92, 1.15)
    sounds: list[Sound] = []
    keys: list[tuple[float, float, float]] = [(start, 0.0, 0.5)]
    time = start + rng.uniform(0.1, 0.4)
    while time < stop - 1.0:
        for _ in range(int(rng.integers(2, 6))):
            consonant = str(rng.choice(list(CONSONANTS), p=[0.2, 0.2, 0.2, 0.15, 0.15, 0.1]))
            vowel = str(rng.choice(list(VOWELS), p=[0.4, 0.2, 0.1, 0.2, 0.1]))
            lead, length = rng.uniform(0.05, 0.09), rng.uniform(0.12, 0.3)
            formants, opening, width = VOWELS[vowel]
            accent = rng.uniform(0.75, 1.0)
            closed = CONSONANTS[consonant]
            keys += [(time, closed, 0.5), (time + lead * 0.8, closed, 0.5)]
            opened = opening * accent
            keys += [(time + lead + 0.05, opened, width), (time + lead + length * 0.75, opened, width)]
            wave = _syllable(rng, rate_hz, consonant, [f * tract for f in formants], lead, length, pitch_hz, accent)
            sounds.append(Sound(time, wave, consonant + vowel, events=(time + lead,)))
            time += lead + length
        keys.append((time + 0.02, 0.0, 0.5))
        time += rng.uniform(0.2, 0.6)
        keys.append((time - 0.06, 0.0, 0.5))
    grid = start + np.arange(round((stop - start) * TRACK_HZ)) / TRACK_HZ
    moments = np.array([key[0] for key in keys])
    # Lips cannot jump, so their motion is smoothed by a centred window, which does not delay it.
    opening_track = smooth_track(np.interp(grid, moments, [key[1] for key in keys]), 0.03)
    width_track = smooth_track(np.interp(grid, moments, [key[2] for key in keys]), 0.05)
    return Speech(sounds, start, opening_track, width_track)


def _syllable(
    rng: np.random.Generator,
    rate_hz: int,
    consonant: str,
    formants_hz: list[float],
    lead_seconds: float,
    length_seconds: float,
    pitch_hz: float,
    accent: float,
) -> AudioArray:
    """Synthesise a consonant of `lead_seconds` and a vowel of `length_seconds`."""
    lead, count = round(lead_seconds * rate_hz), round(length_seconds * rate_hz)
    time = np.arange(count) / rate_hz
    pitch = pitch_hz * rng.uniform(0.9, 1.15) * np.linspace(1.05, 0.92, count)
    source = signal.sawtooth(2 * np.pi * np.cumsum(pitch) / rate_hz) + 0.05 * rng.standard_normal(count)
    vowel = source
    for formant_hz, bandwidth_hz in zip(formants_hz, (80.0, 100.0, 150.0), strict=True):
        vowel = _resonate(vowel, formant_hz, bandwidth_hz, rate_hz)
    vowel *= np.minimum(1, time / 0.012) * np.minimum(1, (time[-1] - time) / 0.04)
    vowel *= 0.5 * accent / np.abs(vowel).max()
    head = np.zeros(lead)
    ramp = np.hanning(lead)
    if consonant in "mn":
        hum = signal.sawtooth(2 * np.pi * pitch_hz * np.arange(lead) / rate_hz)
        head = 0.08 * ramp * _resonate(hum, 250.0, 100.0, rate_hz) / 8
    elif consonant == "s":
        sections = signal.butter(2, 4000, "highpass", fs=rate_hz, output="sos")
        head = 0.06 * ramp * signal.sosfilt(sections, rng.standard_normal(lead))
    elif consonant in "pbt":
        burst = round(0.012 * rate_hz)
        head[-burst:] = 0.08 * rng.standard_normal(burst) * np.linspace(1, 0.3, burst)
    return np.asarray(np.concatenate([head, vowel]), dtype=np.float32)


def _resonate(
    wave: npt.NDArray[np.float64], frequency_hz: float, bandwidth_hz: float, rate_hz: int
) -> npt.NDArray[np.float64]:
    """Apply Klatt's two-pole resonator, unity gain at 0 Hz."""
    c = -np.exp(-2 * np.pi * bandwidth_hz / rate_hz)
    b = 2 * np.exp(-np.pi * bandwidth_hz / rate_hz) * np.cos(2 * np.pi * frequency_hz / rate_hz)
    return np.asarray(signal.lfilter([1 - b - c], [1, -b, -c], wave), dtype=np.float64)


def smooth_track(track: npt.NDArray[np.float64], seconds: float) -> npt.NDArray[np.float64]:
    """Smooth a TRACK_HZ track with a centred Hann window that reaches `seconds` to each side."""
    window = np.hanning(2 * round(seconds * TRACK_HZ) + 1)
    return np.asarray(np.convolve(track, window / window.sum(), "same"), dtype=np.float64)
