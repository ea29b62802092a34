"""Figures in the style of JavisScore and AVHScore: frames compared with the sound of windows, and of the whole clip.

JavisScore: windows of 2 s every 0.5 s, in each the mean cosine of the 40 % of frames that fit its sound least, averaged
over the windows. AVHScore: the mean cosine of all frames with the whole sound. Source: Liu et al., arXiv 2503.23377,
with ImageBind; here with the whole picture's path of a bundle.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle
from cavsync.deploy.files.paired import PairedFrames, filled, paired
from cavsync.deploy.verdict.confidence import SILENCE_DBFS
from cavsync.evaluate.sync.baseline_inputs import from_time_zero
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ

WINDOW_SECONDS, STEP_SECONDS = 2.0, 0.5
LOWEST_SHARE = 0.4
FRAME_RATE_HZ = 25.0
ROUNDING_SECONDS = 1e-3
HOW = (
    f"windows of {WINDOW_SECONDS:g} s every {STEP_SECONDS:g} s, at most {FRAME_RATE_HZ:g} frames per second; cosine of "
    "each frame with the mean direction of the window's segments of sound, mean of the lowest "
    f"{LOWEST_SHARE:.0%}; AVHScore: all frames, the whole sound; windows without sound left out"
)

Vectors = NDArray[np.float32]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class WindowScore:
    """`lowest` is the score of JavisScore, `overall` that of AVHScore; None without a window, or without sound."""

    lowest: float | None
    overall: float | None


@dataclass(frozen=True)
class EmbeddedClip:
    """Unit embeddings (n, D) of the frames at `times_seconds` (n,), and of the segment of audio around each, NaN where
    there is none; mono 16 kHz `samples` from time 0 on."""

    times_seconds: FloatArray
    visual: Vectors
    audio: Vectors
    samples: NDArray[np.float32]


def window_score(bundle: Bundle, path: Path) -> WindowScore:
    """Score a clip by the whole picture. Raises MediaError for a clip that cannot be read."""
    return scored(embedded(bundle, path))


def embedded(bundle: Bundle, path: Path) -> EmbeddedClip:
    """Embed up to `FRAME_RATE_HZ` frames per second. Segments of audio that reach beyond its ends are moved inside, as
    in training. Raises MediaError for a clip that cannot be read."""
    shape = (bundle.manifest.audio.segment_frames, bundle.manifest.frontend.num_mel_bins)
    pairs = PairedFrames(bundle, bundle.embed_frames, FRAME_RATE_HZ, pad=True)
    chunks: list[AudioChunk] = []
    times, visual, audio = [], [], []
    with MediaReader(path) as reader:
        for seconds, seen, segments in paired(_kept(reader, chunks), pairs):
            log_mel, missing = filled(segments, shape)
            heard = bundle.embed_audio(log_mel).copy()
            heard[missing] = np.nan
            times.append(seconds)
            visual.append(seen)
            audio.append(heard)
    return EmbeddedClip(
        np.concatenate(times), np.concatenate(visual), np.concatenate(audio), from_time_zero(chunks, SAMPLE_RATE_HZ)
    )


def scored(clip: EmbeddedClip) -> WindowScore:
    """Return the scores of a clip. Windows whose sound is silent are left out."""
    end = float(clip.times_seconds[-1] - clip.times_seconds[0]) + 1 / FRAME_RATE_HZ
    count = max(0, math.floor((end - WINDOW_SECONDS + ROUNDING_SECONDS) / STEP_SECONDS) + 1)
    starts = clip.times_seconds[0] + STEP_SECONDS * np.arange(count)
    cosines = [_cosines(clip, float(start), float(start) + WINDOW_SECONDS) for start in starts]
    lowest = [float(np.sort(found)[: math.ceil(LOWEST_SHARE * len(found))].mean()) for found in cosines if len(found)]
    overall = _cosines(clip, -math.inf, math.inf)
    return WindowScore(float(np.mean(lowest)) if lowest else None, float(overall.mean()) if len(overall) else None)


def _cosines(clip: EmbeddedClip, start_seconds: float, stop_seconds: float) -> FloatArray:
    """Return the cosine of each frame between two times with the sound between them, the direction of the mean of its
    segments; none (0,) where it is silent or missing."""
    inside = (clip.times_seconds >= start_seconds - ROUNDING_SECONDS) & (
        clip.times_seconds < stop_seconds - ROUNDING_SECONDS
    )
    heard = clip.audio[inside & np.isfinite(clip.audio).all(axis=1)].astype(np.float64)
    first, last = (
        int(np.clip(seconds * SAMPLE_RATE_HZ, 0, len(clip.samples))) for seconds in (start_seconds, stop_seconds)
    )
    power = float(np.square(clip.samples[first:last], dtype=np.float64).mean()) if last > first else 0.0
    if not len(heard) or 10 * math.log10(power + 1e-20) < SILENCE_DBFS:
        return np.zeros(0)
    sound = heard.mean(axis=0)
    found: FloatArray = clip.visual[inside].astype(np.float64) @ (sound / np.linalg.norm(sound))
    return found


def _kept(items: Iterable[VideoFrame | AudioChunk], chunks: list[AudioChunk]) -> Iterator[VideoFrame | AudioChunk]:
    """Pass items on, and keep the audio."""
    for item in items:
        if isinstance(item, AudioChunk):
            chunks.append(item)
        yield item
