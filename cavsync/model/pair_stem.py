"""A patch embedding of tubelets that sees each frame once: a stem for pairs of frames, and a layer that joins pairs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.model.config import ModelConfig
from cavsync.model.init import linear
from cavsync.model.patch import DIFFERENCE_GAIN, stem_layers

# Weights of red, green and blue in luma (ITU-R BT.601): motion shows in grey, at a third of the cost.
LUMA = (0.299, 0.587, 0.114)


class FramePairs(NamedTuple):
    """Tubelets of T frames, whose pairs of successive frames are listed once each.

    `pairs` (P, 2, 3, S, S): normalised RGB, the earlier frame first. `tubelets` (B, T - 1): places of each tubelet's
    pairs, in order of time.
    """

    pairs: Tensor
    tubelets: Tensor

    @classmethod
    def of(cls, frames: Tensor) -> FramePairs:
        """Take the pairs of tubelets (B, T, 3, S, S) that share no frames."""
        batch, count = frames.shape[:2]
        pairs = torch.stack([frames[:, :-1], frames[:, 1:]], dim=2).flatten(0, 1)
        places = torch.arange(batch * (count - 1), device=frames.device)
        return cls(pairs, places.view(batch, count - 1))


class PairStem(nn.Module):
    """Patch vectors of tubelets: each pair of frames passes the convolutions once, whatever tubelets it belongs to.

    A pair enters as its later frame and the amplified difference to the earlier one, both grey.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = stem_layers(2, config.embed_dim, config.patch_size)
        self.join = linear((config.num_frames - 1) * config.embed_dim, config.embed_dim)
        self._config = config

    def forward(self, frames: Tensor | FramePairs) -> Tensor:
        """Tubelets, or frames (B, T, 3, S, S), -> patch vectors (B, N, D), row-major; ConfigError for other shapes."""
        tubelets = frames if isinstance(frames, FramePairs) else FramePairs.of(self._checked(frames))
        return self.joined(self.features(tubelets.pairs)[tubelets.tubelets])

    def features(self, pairs: Tensor) -> Tensor:
        """Normalised pairs (P, 2, 3, S, S) -> features (P, N, D)."""
        red, green, blue = pairs.unbind(2)
        grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
        images = torch.stack([grey[:, 1], (grey[:, 1] - grey[:, 0]) * DIFFERENCE_GAIN], dim=1)
        features: Tensor = self.layers(images)
        return features.flatten(2).transpose(1, 2)

    def joined(self, features: Tensor) -> Tensor:
        """Features of each tubelet's pairs (B, T - 1, N, D) -> patch vectors (B, N, D)."""
        joined: Tensor = self.join(features.transpose(1, 2).flatten(2))
        return joined

    def _checked(self, frames: Tensor) -> Tensor:
        config = self._config
        expected = (config.num_frames, config.in_chans, config.img_size, config.img_size)
        if frames.ndim != 5 or tuple(frames.shape[1:]) != expected:
            raise ConfigError(
                f"Frames have shape {tuple(frames.shape)}, expected (batch, {', '.join(map(str, expected))}): "
                "resize the frames, or build the model with another img_size or num_frames."
            )
        return frames
