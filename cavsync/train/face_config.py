"""Options of a run that trains the face model; part of its configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cavsync.data.augment.faces import FaceAugmentation


class FaceTraining(BaseModel):
    """Options of training the face model on windows of face tracks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_frames: Annotated[int, Field(ge=20)] = 48
    """Frames of a window, at the model's frame rate; shorter clips give shorter windows."""
    min_window_seconds: Annotated[float, Field(ge=0.8)] = 1.2
    """Clips whose face and audio last less are rejected."""
    curve_weight: Annotated[float, Field(ge=0.0)] = 0.5
    """Weight of the second loss: the window's similarity curve is highest at lag 0 (see `curve_loss`)."""
    group_offsets: bool = True
    """Measure during the run how early or late the audio of each group of footage is, and train on it corrected."""
    group_offsets_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.4
    """Share of the steps after which that is measured."""
    face_augmentation: FaceAugmentation = FaceAugmentation()
    """Changes of landmarks and mouth images; those of audio, tempo and mirroring are in `augmentation`."""
