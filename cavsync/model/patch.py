"""From spectrograms and frames to patch vectors."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.kernels import kept_patch_embedding
from cavsync.model.config import NUM_MEL_BINS, ModelConfig
from cavsync.model.init import linear

# From one frame to the next, most pixels change by a few hundredths of the frame's standard deviation.
DIFFERENCE_GAIN = 4.0
STEM_WIDTH = 24
# Weights of red, green and blue in luma (ITU-R BT.601): motion shows in grey, at a third of the cost.
LUMA = (0.299, 0.587, 0.114)


class PatchEmbed(nn.Module):
    """Linear projection of non-overlapping patches: (B, C, H, W) -> (B, N, D), row-major."""

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, embed_dim, kernel_size=patch_size, stride=patch_size)
        # Initialised like the linear layer that it is.
        nn.init.xavier_uniform_(self.proj.weight.data.view(embed_dim, -1))

    def forward(self, images: Tensor) -> Tensor:
        """images (B, C, H, W) -> (B, N, D)."""
        projected: Tensor = self.proj(images)
        return projected.flatten(2).transpose(1, 2)

    def kept(self, images: Tensor, ids_keep: Tensor, position: Tensor, modality: Tensor) -> Tensor:
        """Embed the patches ids_keep (B, n) of images (B, C, H, W); add position (1, N, D) and modality (1, 1, D)."""
        assert self.proj.bias is not None
        return kept_patch_embedding(images, ids_keep, self.proj.weight, self.proj.bias, position[0], modality[0, 0])


class ConvStem(nn.Module):
    """Patch vectors by stride-2 convolutions in place of one linear projection: (B, C, H, W) -> (B, N, D), row-major.

    Small models see edges, and so motion, much sooner this way (Xiao et al. 2021, arXiv 2106.14881).
    """

    def __init__(self, in_channels: int, embed_dim: int, patch_size: int) -> None:
        super().__init__()
        self.layers = stem_layers(in_channels, embed_dim, patch_size)
        self.proj = nn.Conv2d(stem_width(embed_dim), embed_dim, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """images (B, C, H, W) -> (B, N, D)."""
        projected: Tensor = self.proj(self.layers(images))
        return projected.flatten(2).transpose(1, 2)


def stem_width(embed_dim: int) -> int:
    """Channels that the convolutions of a stem give."""
    return max(STEM_WIDTH, embed_dim)


def stem_layers(in_channels: int, embed_dim: int, patch_size: int) -> nn.Sequential:
    """Stride-2 convolutions with norms and ReLU, (B, C, H, W) -> (B, stem_width, H / patch_size, W / patch_size)."""
    halvings = patch_size.bit_length() - 1
    widths = [in_channels, *(stem_width(embed_dim >> (halvings - 1 - level)) for level in range(halvings))]
    layers: list[nn.Module] = []
    for level, (before, after) in enumerate(pairwise(widths)):
        kernel = 5 if level == 0 else 3
        layers += [
            nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class FramePairs(NamedTuple):
    """Tubelets of T frames, whose pairs of successive frames are listed once each.

    `pairs` (P, 2, 3, S, S): normalised RGB, the earlier frame first. `tubelets` (B, T - 1): places of each tubelet's
    pairs, in order of time.
    """

    pairs: Tensor
    tubelets: Tensor

    @classmethod
    def of(cls, frames: Tensor) -> "FramePairs":
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
        self.join = linear((config.num_frames - 1) * stem_width(config.embed_dim), config.embed_dim)
        self.config = config

    def forward(self, frames: Tensor | FramePairs) -> Tensor:
        """Tubelets, or frames (B, T, 3, S, S), -> patch vectors (B, N, D), row-major; ConfigError for other shapes."""
        if not isinstance(frames, FramePairs):
            stacked = stacked_frames(frames, self.config)
            frames = FramePairs.of(stacked.unflatten(1, (self.config.num_frames, self.config.in_chans)))
        return self.joined(self.features(frames.pairs)[frames.tubelets])

    def features(self, pairs: Tensor) -> Tensor:
        """Normalised pairs (P, 2, 3, S, S) -> features (P, N, W) of stem_width W."""
        red, green, blue = pairs.unbind(2)
        grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
        images = torch.stack([grey[:, 1], (grey[:, 1] - grey[:, 0]) * DIFFERENCE_GAIN], dim=1)
        features: Tensor = self.layers(images)
        return features.flatten(2).transpose(1, 2)

    def joined(self, features: Tensor) -> Tensor:
        """Features of each tubelet's pairs (B, T - 1, N, W) -> patch vectors (B, N, D)."""
        joined: Tensor = self.join(features.transpose(1, 2).flatten(2))
        return joined


def patch_embedding(in_channels: int, config: ModelConfig) -> PatchEmbed | ConvStem:
    """The patch embedding of a configuration."""
    kind = ConvStem if config.conv_stem else PatchEmbed
    return kind(in_channels, config.embed_dim, config.patch_size)


def spectrogram_image(fbank: Tensor, config: ModelConfig) -> Tensor:
    """Log-mel (B, audio_length, 128) as an image (B, 1, 128, audio_length); ConfigError for any other shape."""
    if fbank.ndim != 3 or fbank.shape[1] != config.audio_length or fbank.shape[2] != NUM_MEL_BINS:
        raise ConfigError(
            f"Audio has shape {tuple(fbank.shape)}, expected (batch, {config.audio_length}, {NUM_MEL_BINS}): "
            "cut or pad the log-mel, or build the model with another audio_length."
        )
    return fbank.transpose(1, 2).unsqueeze(1)


def embedded_frames(frames: Tensor, config: ModelConfig) -> Tensor:
    """Frames (B, [T,] 3, H, W) as the image (B, 3 · T, H, W) that is embedded.

    With `frame_differences`: the middle frame, then the differences between successive frames, times DIFFERENCE_GAIN.
    """
    stacked = stacked_frames(frames, config)
    if not config.frame_differences:
        return stacked
    channels, middle = config.in_chans, config.num_frames // 2
    still = stacked[:, middle * channels : (middle + 1) * channels]
    motion = (stacked[:, channels:] - stacked[:, :-channels]) * DIFFERENCE_GAIN
    return torch.cat([still, motion], dim=1)


def stacked_frames(frames: Tensor, config: ModelConfig) -> Tensor:
    """Frames (B, 3, H, W) or (B, T, 3, H, W) as an image (B, 3 · T, H, W), channels of the first frame first.

    Four dimensions are accepted for single frames only; ConfigError for any other shape.
    """
    clips = frames.unsqueeze(1) if frames.ndim == 4 else frames
    expected = (config.num_frames, config.in_chans, config.img_size, config.img_size)
    if clips.ndim != 5 or tuple(clips.shape[1:]) != expected:
        wanted = expected[1:] if config.num_frames == 1 else expected
        raise ConfigError(
            f"Frames have shape {tuple(frames.shape)}, expected (batch, {', '.join(map(str, wanted))}): "
            "resize the frames, or build the model with another img_size or num_frames."
        )
    return clips.flatten(1, 2)
