"""The configuration of the face model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cavsync.model.config import ModelOptions, Positive


class FaceConfig(ModelOptions):
    """Sizes of the face model; immutable. Raises ConfigError for a value out of range."""

    frame_rate_hz: Annotated[float, Field(ge=25.0, le=25.0)] = 25.0
    """Rate of the frames that the model sees: its audio towers step by four log-mel frames of 10 ms."""
    embed_dim: Positive = 128
    """Width of the embedding of each member."""
    landmark_members: Annotated[int, Field(ge=1, le=256)] = 4
    """Number of members that see landmarks, in addition to the one that sees the image of the mouth."""
    width: Positive = 96
    """Channels of each tower."""
    mel_bands: Literal[8, 16, 32, 64, 128] = 32
    """Bands that the 128 mel bins are averaged to."""
    mouth_channels: tuple[Positive, Positive, Positive] = (16, 24, 32)
    """Channels of the convolutions on the image of the mouth."""
    mouth_width: Positive = 64
    """Numbers that describe the image of the mouth in one frame."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Share of the channels that towers leave out in training."""
