"""Segments of a clip's audio: as log-mel, or as samples whose log-mel is computed on the model's device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavsync.data.clip_audio import ClipAudio, Waveform, take_inside
from cavsync.data.frontend import LogMelFrontend
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES


@dataclass(frozen=True)
class AudioSegments:
    """K segments of L log-mel frames: `values` is the log-mel (K, L, 128), or, if `inside` is given, the samples (K, n)
    that the frames cover. `inside` (K, L) marks the frames that lie inside the audio; the others are zero."""

    values: Tensor
    inside: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)


def cut_segments(audio: ClipAudio, starts: NDArray[np.int64], length_frames: int, *, as_samples: bool) -> AudioSegments:
    """Cut segments of `length_frames` log-mel frames that start at `starts` (K,) out of a clip's audio.

    as_samples: return samples without the clip's mean, if the audio is a Waveform, else log-mel.
    """
    if not (as_samples and isinstance(audio, Waveform)):
        return AudioSegments(torch.from_numpy(audio.segments(starts, length_frames)))
    rows = starts[:, None] + np.arange(length_frames)
    span = (length_frames - 1) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES
    places = starts[:, None] * FRAME_SHIFT_SAMPLES + np.arange(span)
    samples = audio.samples - audio.samples.mean() if len(audio.samples) else audio.samples
    inside = (rows >= 0) & (rows < len(audio))
    return AudioSegments(torch.from_numpy(take_inside(samples, places)), torch.from_numpy(inside))


def compute_log_mel(segments: Sequence[AudioSegments], device: torch.device) -> list[Tensor]:
    """Compute the raw log-mel (K, L, 128) of each on `device`, of all samples in one pass; zero outside the audio."""
    waves = [part for part in segments if part.inside is not None]
    computed = iter(_transform(waves, device).split([len(part) for part in waves]) if waves else ())
    return [part.values.to(device) if part.inside is None else next(computed) for part in segments]


def _transform(waves: Sequence[AudioSegments], device: torch.device) -> Tensor:
    samples = torch.cat([part.values for part in waves]).to(device, non_blocking=True)
    inside = torch.cat([part.inside for part in waves if part.inside is not None]).to(device, non_blocking=True)
    # Lower precision would show: a quiet band is a small difference, of which the logarithm is taken.
    cudnn = torch.backends.cudnn
    kept = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with torch.no_grad(), torch.autocast(device.type, enabled=False), cudnn.flags(**kept, allow_tf32=False):
        features: Tensor = _frontend(device)(samples)
    return features.masked_fill(~inside[..., None], 0.0)


@lru_cache(maxsize=8)
def _frontend(device: torch.device) -> LogMelFrontend:
    return LogMelFrontend().to(device)
