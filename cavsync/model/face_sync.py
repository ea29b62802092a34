"""The face model, which compares a mouth with the audio: encoders of lip landmarks, of the mouth's image, of log-mel.

It has several members: some on the landmarks, alike but for their random weights, and one on the image. Each has a
visual and an audio tower of its own, and their embeddings are joined, so that the cosine of two embeddings is the mean
of the members' cosines.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cavsync.media.mouth import MOUTH_SIZE, NUM_LANDMARK_FEATURES
from cavsync.model.face_config import FaceConfig

VISUAL_KERNELS = (5, 5, 4)
AUDIO_KERNELS = ((5, 2), (5, 2), (5, 1), (5, 1))
"""Size and stride of each convolution over log-mel frames."""
NUM_FRAMES = 1 + sum(kernel - 1 for kernel in VISUAL_KERNELS) + 1
"""Frames that one visual embedding sees: those of the convolutions and one more for the first difference."""
FRAMES_PER_STEP = 4
"""Log-mel frames from one audio embedding to the next: the product of the strides."""
SEGMENT_FRAMES = 45
"""Log-mel frames that one audio embedding sees."""
DIFFERENCE_GAIN = 3.0
"""Differences between frames are small: scaled by this, they weigh about as much as the frames."""
MIN_SPREAD = 1e-3
MIN_CONTRAST = 8.0
"""Grey levels added to the contrast of a mouth's image before dividing by it."""


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, values: Tensor) -> Tensor:
        """Normalise."""
        normed: Tensor = self.norm(values.transpose(1, 2)).transpose(1, 2)
        return normed


class Tower(nn.Sequential):
    """Convolutions over time without padding, (B, T, C) -> unit vectors (B, T', D)."""

    def __init__(
        self, channels: int, kernels: tuple[tuple[int, int], ...], width: int, dim: int, dropout: float
    ) -> None:
        layers: list[nn.Module] = []
        for size, stride in kernels:
            layers += [nn.Conv1d(channels, width, size, stride), ChannelNorm(width), nn.GELU(), nn.Dropout(dropout)]
            channels = width
        super().__init__(*layers, nn.Conv1d(width, dim, 1))

    def forward(self, values: Tensor) -> Tensor:
        """Embed."""
        hidden: Tensor = super().forward(values.transpose(1, 2))  # type: ignore[no-untyped-call]
        return F.normalize(hidden.transpose(1, 2), dim=-1)


class MouthImage(nn.Module):
    """Image of the mouth (N, MOUTH_SIZE^2), grey levels 0..255 -> numbers that describe it, (N, width)."""

    def __init__(self, channels: tuple[int, int, int], width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after in channels:
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GELU()]
            before = after
        side = MOUTH_SIZE // 2 ** len(channels)
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(before * side * side, width)

    def forward(self, mouth: Tensor) -> Tensor:
        """Take the image's own brightness and contrast out, and describe it."""
        mouth = (mouth - mouth.mean(-1, keepdim=True)) / (mouth.std(-1, keepdim=True, unbiased=False) + MIN_CONTRAST)
        image = mouth.unflatten(-1, (1, MOUTH_SIZE, MOUTH_SIZE))
        described: Tensor = self.project(self.convolutions(image).flatten(1))
        return described


class Member(nn.Module):
    """One pair of towers: a visual one on `channels` numbers per frame, and an audio one."""

    def __init__(self, channels: int, config: FaceConfig) -> None:
        super().__init__()
        kernels = tuple((size, 1) for size in VISUAL_KERNELS)
        common = (config.width, config.embed_dim, config.dropout)
        self.visual = Tower(2 * channels, kernels, *common)
        self.audio = Tower(config.mel_bands, AUDIO_KERNELS, *common)


class FaceSync(nn.Module):
    """The face model. Landmark features are standardised with the mean and spread of the training clips."""

    landmark_mean: Tensor
    landmark_spread: Tensor

    def __init__(self, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("landmark_mean", torch.zeros(NUM_LANDMARK_FEATURES))
        self.register_buffer("landmark_spread", torch.ones(NUM_LANDMARK_FEATURES))
        self.mouth_image = MouthImage(config.mouth_channels, config.mouth_width)
        self.on_landmarks = nn.ModuleList(Member(NUM_LANDMARK_FEATURES, config) for _ in range(config.landmark_members))
        self.on_mouth = Member(config.mouth_width, config)
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    @property
    def members(self) -> list[Member]:
        """All members, those on landmarks first."""
        return [*self.on_landmarks, self.on_mouth]

    @property
    def encoded_width(self) -> int:
        """Numbers per frame that `encode_frames` gives."""
        return NUM_LANDMARK_FEATURES + self.config.mouth_width

    @property
    def embedding_dim(self) -> int:
        """Width of both embeddings."""
        return len(self.members) * self.config.embed_dim

    @torch.no_grad()
    def standardise(self, landmarks: Tensor) -> None:
        """Set mean and spread from the landmark features (n, NUM_LANDMARK_FEATURES) of the training clips."""
        self.landmark_mean.copy_(landmarks.mean(0))
        self.landmark_spread.copy_(landmarks.std(0) + MIN_SPREAD)

    def encode_frames(self, features: Tensor) -> Tensor:
        """Features of single frames (N, NUM_FEATURES) -> (N, encoded_width)."""
        landmarks, mouth = features.split([NUM_LANDMARK_FEATURES, MOUTH_SIZE**2], dim=-1)
        return torch.cat([(landmarks - self.landmark_mean) / self.landmark_spread, self.mouth_image(mouth)], dim=-1)

    def encode_visual(self, encoded: Tensor) -> Tensor:
        """Encoded frames (B, T, encoded_width), consecutive -> unit embeddings (B, T - NUM_FRAMES + 1, D)."""
        landmarks, mouth = encoded.split([NUM_LANDMARK_FEATURES, self.config.mouth_width], dim=-1)
        inputs = [*[landmarks] * self.config.landmark_members, mouth]
        return joined(
            [member.visual(with_difference(values)) for member, values in zip(self.members, inputs, strict=True)]
        )

    def encode_audio(self, log_mel: Tensor) -> Tensor:
        """Normalised log-mel (B, M, 128) -> unit embeddings (B, (M - SEGMENT_FRAMES) // FRAMES_PER_STEP + 1, D)."""
        # The fine structure along frequency tells voices apart, not sounds of speech.
        bands = log_mel.unflatten(-1, (self.config.mel_bands, -1)).mean(-1)
        return joined([member.audio(bands) for member in self.members])

    def forward(self, features: Tensor, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embed features (B, T, NUM_FEATURES) of consecutive frames and normalised log-mel (B, M, 128).

        Returns visual and audio embeddings, and the factor of their cosines in training.
        """
        encoded = self.encode_frames(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return self.encode_visual(encoded), self.encode_audio(log_mel), self.logit_scale.exp()


def with_difference(values: Tensor) -> Tensor:
    """(B, T, C) -> each frame but the first, beside its difference to the one before, (B, T - 1, 2 C)."""
    return torch.cat([values[:, 1:], DIFFERENCE_GAIN * (values[:, 1:] - values[:, :-1])], dim=-1)


def joined(members: list[Tensor]) -> Tensor:
    """Join the members' unit vectors (..., D) to unit vectors (..., members * D)."""
    return torch.cat(members, dim=-1) / math.sqrt(len(members))


def parted(embedding: Tensor, count: int) -> Tensor:
    """Part joined unit vectors (..., count * D) into those of the members, (count, ..., D)."""
    return torch.stack(embedding.chunk(count, dim=-1)) * math.sqrt(count)
