"""Take samples to compare and quantize on: moments of real clips if there are any, else of generated ones."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.clip import Clip, load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD, NUM_MEL_BINS, log_mel
from cavsync.data.synth import ClipSpec, render
from cavsync.errors import MediaError
from cavsync.manifest import ENCODERS
from cavsync.media.align import SAMPLE_RATE_HZ, nearest_index, tubelet_times_seconds
from cavsync.media.frame import resize_center_crop
from cavsync.model.config import ModelConfig

Array = NDArray[Any]
log = logging.getLogger(__name__)

FAMILIES = ("impacts", "face", "drummer", "keys")
MOMENTS_PER_CLIP = 4
MAX_CLIPS = 12
MAX_CLIP_SECONDS = 30.0
FRAME_SECONDS = 0.01
NOISE_SAMPLES = 3


@dataclass(frozen=True)
class Samples:
    """Inputs of each graph by its name: audio (1, n), raw log-mel (N, L, 128), tubelets (N, T, H, W, 3) of bytes.

    `moments` (N) names the source of each log-mel segment and tubelet, `source` describes all of them.
    """

    inputs: dict[str, Array]
    moments: list[str]
    source: str

    def __len__(self) -> int:
        return len(self.moments)


@dataclass(frozen=True)
class SampleSets:
    """Samples for comparing, and samples of other clips for finding the ranges of activations."""

    compare: Samples
    ranges: Samples


def sample_sets(config: ModelConfig, clips: Sequence[Path]) -> SampleSets:
    """Compare on every second of `clips`; generated clips replace them if fewer than two can be used."""
    # One clip in memory at a time.
    taken = [_moments(clip, config) for clip in map(partial(_load, config=config), _spread(clips)) if clip is not None]
    if len(taken) >= 2:
        halves = taken[::2], taken[1::2]
        return SampleSets(*(_joined(half, f"{len(half)} clips") for half in halves))
    if clips:
        log.warning("fewer than two of the clips are long enough to compare on: generated ones are used instead")
    made = [[_moments(clip, config) for clip in generated_clips(config, seed)] for seed in (11, 12)]
    return SampleSets(*(_joined(half, "generated clips") for half in made))


def generated_clips(config: ModelConfig, seed: int) -> list[Clip]:
    """Render one clip of each family, long enough for some segments."""
    seconds = max(3.0, config.audio_length * FRAME_SECONDS + 1.0)
    return [_rendered(ClipSpec(seed=seed, family=family, duration_seconds=seconds), config) for family in FAMILIES]


def noise(config: ModelConfig) -> dict[str, Array]:
    """Return inputs unlike any clip: quiet noise and silence, log-mel noise, frames of noise."""
    random = np.random.default_rng(11)
    quiet = random.normal(0, 1e-3, (1, SAMPLE_RATE_HZ))
    segments = random.normal(AUDIO_MEAN, AUDIO_STD, (NOISE_SAMPLES, config.audio_length, NUM_MEL_BINS))
    frames = (NOISE_SAMPLES, config.num_frames, config.img_size, config.img_size, 3)
    return {
        "audio_frontend": np.concatenate([quiet, np.zeros((1, SAMPLE_RATE_HZ // 4))], axis=1).astype(np.float32),
        "audio_encoder": segments.astype(np.float32),
        "visual_encoder": random.integers(0, 256, frames, dtype=np.uint8),
    }


def reference_log_mel(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute torchaudio's features (frames, 128) of samples (n,)."""
    features: NDArray[np.float32] = log_mel(torch.from_numpy(waveform)).numpy()
    return features


def _spread(clips: Sequence[Path]) -> list[Path]:
    """Return at most MAX_CLIPS of the clips, evenly spread over the list."""
    places = np.linspace(0, len(clips) - 1, min(len(clips), MAX_CLIPS)).round().astype(int)
    return [clips[place] for place in places]


def _load(path: Path, config: ModelConfig) -> Clip | None:
    try:
        clip = load_clip(path, config.img_size, max_seconds=MAX_CLIP_SECONDS)
    except MediaError as error:
        log.warning("not compared on: %s", error)
        return None
    first, last = _span_seconds(clip, config)
    return clip if last > first else None


def _rendered(spec: ClipSpec, config: ModelConfig) -> Clip:
    made = render(spec)
    times, frames = [], []
    for pts_seconds, rgb in made.frames:
        times.append(pts_seconds)
        frames.append(resize_center_crop(rgb, config.img_size).transpose(2, 0, 1))
    waveform = np.ascontiguousarray(made.audio.mean(axis=1), dtype=np.float32)
    return Clip(f"generated {spec.family} {spec.seed}", np.stack(frames), np.asarray(times), Waveform(waveform))


def _span_seconds(clip: Clip, config: ModelConfig) -> tuple[float, float]:
    """First and last time for which the audio segment and the tubelet around it lie within the clip."""
    half_audio = config.audio_length * FRAME_SECONDS / 2 + 2 * FRAME_SECONDS
    half_frame = (config.num_frames - 1) * config.frame_step_seconds / 2
    audio = clip.audio
    assert isinstance(audio, Waveform)
    end_seconds = clip.audio_start_seconds + len(audio.samples) / SAMPLE_RATE_HZ
    first = max(clip.audio_start_seconds + half_audio, float(clip.pts_seconds[0]) + half_frame)
    last = min(end_seconds - half_audio, float(clip.pts_seconds[-1]) - half_frame)
    return first, last


def _moments(clip: Clip, config: ModelConfig) -> Samples:
    """Take evenly spread moments of one clip."""
    assert isinstance(clip.audio, Waveform)
    centres = np.linspace(*_span_seconds(clip, config), MOMENTS_PER_CLIP)
    features = reference_log_mel(clip.audio.samples)
    starts = (centres - clip.audio_start_seconds) / FRAME_SECONDS - config.audio_length / 2
    segments = [features[start : start + config.audio_length] for start in map(math.floor, starts)]
    wanted = tubelet_times_seconds(centres, config.num_frames, config.frame_step_seconds)
    chosen = nearest_index(clip.pts_seconds, wanted)
    tubelets = [clip.frames[indices].transpose(0, 2, 3, 1) for indices in chosen]
    inputs: dict[str, Array] = {
        "audio_frontend": clip.audio.samples[None],
        "audio_encoder": np.stack(segments),
        "visual_encoder": np.stack(tubelets),
    }
    return Samples(inputs, [f"{Path(clip.source).name} at {centre:.2f} s" for centre in centres], clip.source)


def _joined(parts: Sequence[Samples], source: str) -> Samples:
    """Join the moments of all clips; for the front end, the audio of two clips is enough."""
    moments = [moment for part in parts for moment in part.moments]
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in ENCODERS}
    audio = np.concatenate([part.inputs["audio_frontend"] for part in parts[:2]], axis=1)
    return Samples({"audio_frontend": audio, **inputs}, moments, f"{len(moments)} moments of {source}")
