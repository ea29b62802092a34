"""Speech from espeak-ng, an optional program, with a mouth that is animated from its sound."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave
from math import gcd

import numpy as np
import numpy.typing as npt
from scipy import signal

from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.spec import MARGIN_SECONDS
from cavsync.data.synth.speech import TRACK_HZ, Speech, smooth_track
from cavsync.errors import ConfigError

ESPEAK = "espeak-ng"
_TIMEOUT_SECONDS = 60.0
VOICES = ("en-us", "en-gb", "de", "es", "it", "fr")
_VARIANTS = ("m1", "m2", "m3", "m5", "m7", "f1", "f2", "f3", "f4")
_WORDS = """apple mama open window about people problem happy paper number system water family money music morning
market animal maybe baby remember example summer obvious popular above ability amount bubble camera probably member
emotion father mother hammer happen camp marble poppy bob paw"""
# Open vowels have their first formant in this band, closed vowels and hums below it.
_OPEN_BAND_HZ = (450.0, 1300.0)
_SPREAD_BAND_HZ = (1700.0, 3000.0)


def espeak_available() -> bool:
    """Return whether the espeak-ng program is installed."""
    return shutil.which(ESPEAK) is not None


def espeak_speech(rng: np.random.Generator, duration_seconds: float, rate_hz: int) -> Speech:
    """Speak random words in a random voice over the clip and its margins, as one sound per phrase between pauses.

    Equal random streams give equal speech with the same version of espeak-ng. Raises ConfigError if the program is
    missing or fails.
    """
    start, stop = -MARGIN_SECONDS, duration_seconds + MARGIN_SECONDS
    speed = int(rng.integers(120, 165))
    words: list[str] = []
    while len(words) < (stop - start) * 2.6:
        words += [str(word) for word in rng.choice(_WORDS.split(), int(rng.integers(1, 4)))]
        words[-1] += ","
    voice = f"{rng.choice(VOICES)}+{rng.choice(_VARIANTS)}"
    spoken = _speak(" ".join(words), voice, speed, int(rng.integers(25, 75)), rate_hz)
    spoken = spoken[: round((stop - start) * rate_hz)]
    opening, width = articulation(spoken, rate_hz)
    track_count = round((stop - start) * TRACK_HZ)
    opening, width = (np.pad(track, (0, track_count))[:track_count] for track in (opening, width))
    opened = opening > 0.33
    onsets = [start + float(index) / TRACK_HZ for index in np.flatnonzero(opened[1:] & ~opened[:-1]) + 1]
    sounds = []
    for first, last in _phrases(spoken, rate_hz):
        time = start + first / rate_hz
        events = tuple(t for t in onsets if time <= t < start + last / rate_hz)
        sounds.append(Sound(time, spoken[first:last], "speech", events=events or (time,)))
    return Speech(sounds, start, opening, width)


def articulation(samples: AudioArray, rate_hz: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (opening, width) of the mouth that says mono `samples`, each in 0..1 at TRACK_HZ from the first sample on.

    Filters run in both directions and windows are centred, so the mouth neither leads nor lags the sound.
    """
    openness, spread = (_band_level(samples, rate_hz, band) for band in (_OPEN_BAND_HZ, _SPREAD_BAND_HZ))
    loud = max(float(np.percentile(openness, 95)), 1e-6)
    opening = np.clip(1.1 * openness / loud - 0.08, 0.0, 1.0)
    width = np.clip(0.25 + spread / (openness + 0.05 * loud), 0.0, 1.0)
    return smooth_track(opening, 0.02), smooth_track(width, 0.05)


def _band_level(samples: AudioArray, rate_hz: int, band_hz: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return the root of the smoothed power in a band, at TRACK_HZ."""
    sections = signal.butter(2, band_hz, "bandpass", fs=rate_hz, output="sos")
    power = np.square(signal.sosfiltfilt(sections, samples))
    totals = np.concatenate([[0.0], np.cumsum(power)])
    centres = np.arange(int(len(samples) / rate_hz * TRACK_HZ)) / TRACK_HZ * rate_hz
    half = 0.015 * rate_hz
    low = np.clip(centres - half, 0, len(power)).astype(np.int64)
    high = np.clip(centres + half, 0, len(power)).astype(np.int64)
    return np.asarray(np.sqrt((totals[high] - totals[low]) / (2 * half)), dtype=np.float64)


def _phrases(samples: AudioArray, rate_hz: int, pause_seconds: float = 0.08) -> list[tuple[int, int]]:
    """Return the sample ranges between pauses."""
    voiced = np.flatnonzero(np.abs(samples) > 0.01)
    if len(voiced) == 0:
        return []
    breaks = np.flatnonzero(np.diff(voiced) > pause_seconds * rate_hz)
    firsts = voiced[np.concatenate([[0], breaks + 1])]
    lasts = voiced[np.concatenate([breaks, [len(voiced) - 1]])] + 1
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def _speak(text: str, voice: str, words_per_minute: int, pitch: int, rate_hz: int) -> AudioArray:
    """Run the program and resample its output to `rate_hz`, scaled to peak 0.6."""
    program = shutil.which(ESPEAK)
    if program is None:
        raise ConfigError('espeak-ng is not installed: install it, or use speech="synthetic".')
    command = [program, "--stdout", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), text]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f'espeak-ng failed ({error}): repair it, or use speech="synthetic".') from error
    with wave.open(io.BytesIO(done.stdout)) as reader:
        spoken_hz = reader.getframerate()
        # The header of a WAV from a pipe does not state its length: read to the end.
        raw = reader.readframes(len(done.stdout) // 2)
    spoken = np.frombuffer(raw, dtype="<i2").astype(np.float64) / 32768
    common = gcd(rate_hz, spoken_hz)
    resampled = signal.resample_poly(spoken, rate_hz // common, spoken_hz // common)
    return np.asarray(0.6 * resampled / max(float(np.abs(resampled).max()), 1e-9), dtype=np.float32)
