"""An audio encoder with the front end before it, whichever path it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class AudioEncoder:
    """Embeds segments of `segment_frames` log-mel frames.

    One that steps by `step_frames` embeds each segment of a longer stretch for less than the segments cost one by one.

    `log_mel` turns 16 kHz samples (n,) into raw log-mel (frames, num_mel_bins), frames = (n - 400) // 160 + 1; `embed`
    turns segments (B, segment_frames, num_mel_bins) into unit embeddings (B, embedding_dim); with `step_frames`,
    stretches (B, segment_frames + k * step_frames, num_mel_bins) into (B, k + 1, embedding_dim).
    """

    segment_frames: int
    num_mel_bins: int
    embedding_dim: int
    log_mel: Callable[[FloatArray], FloatArray]
    embed: Callable[[FloatArray], FloatArray]
    step_frames: int | None = None
