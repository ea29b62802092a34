"""The options of a pack: everything but the source that determines its bytes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from cavsync.media.resample import ChannelRule


class PackOptions(BaseModel):
    """Options of a pack; the same source and options give the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: PositiveInt | None = None
    """Frames per clip, spread evenly over it; None keeps frames at `frame_rate_hz`."""
    frame_rate_hz: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Frames per second; 0 keeps all."""
    short_side_px: PositiveInt = 256
    jpeg_quality: int = Field(default=90, ge=1, le=100)
    max_seconds: PositiveFloat | None = Field(default=None, allow_inf_nan=False)
    """Clips are cut to this length from their start."""
    faces: bool = False
    """Keep the track of each clip's main face, for training the face model; clips without a face are rejected."""
    channels: ChannelRule | None = "mix"
    """How several channels of audio become one, or were made one before; None where a list does not say: mono audio is
    taken as it is, other audio mixed."""
    licence: str = ""
    shard_clips: PositiveInt | None = None
    """Clips per shard; None chooses a number that makes shards of about `shard_megabytes`."""
    shard_megabytes: PositiveFloat = 500.0
    seed: int = Field(default=0, ge=0)
    """Seed of the order of the clips, which is shuffled because folders are often sorted by class."""
