"""Which random changes training makes to a clip: the same for all its instants, so that none moves its timing."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Range = tuple[Annotated[float, Field(gt=0.0)], Annotated[float, Field(gt=0.0)]]


class Augmentation(BaseModel):
    """Strengths; the defaults change nothing."""

    model_config = ConfigDict(frozen=True)

    mirror: Share = 0.0
    """Chance that the frames are mirrored."""
    crop_area: Range = (1.0, 1.0)
    """RandomResizedCrop: range of the share of the frame that is cut out (Szegedy et al. 2014, arXiv 1409.4842)."""
    colour: NonNegative = 0.0
    """Strength of the change of contrast, brightness and colour balance; 1 is visible and harmless."""
    mixup: Share = 0.0
    """Chance that frames and audio are blended with another clip's (Zhang et al. 2017, arXiv 1710.09412)."""

    tempo: Range = (1.0, 1.0)
    """Range of the factor by which video and audio run faster together."""

    gain_db: NonNegative = 0.0
    """The audio becomes louder or quieter by up to this."""
    background: Share = 0.0
    """Chance that another clip's audio is heard below the clip's own."""
    noise_floor: bool = False
    """Steady noise of a random level, from none to loud."""
    mel_shift_bins: Annotated[int, Field(ge=0)] = 0
    """The spectrum is moved up or down by up to this: other voices, other rooms."""
    frequency_mask_bins: Annotated[int, Field(ge=0)] = 0
    """SpecAugment: a band of up to this many mel bins is blanked (Park et al. 2019, arXiv 1904.08779)."""
    time_mask_frames: Annotated[int, Field(ge=0)] = 0
    """SpecAugment: a stretch of up to this many frames of every segment is blanked."""
    feature_noise: NonNegative = 0.0
    """CAV-MAE's noise: uniform, of a random strength up to this, added to the log-mel."""
    time_shift_frames: Annotated[int, Field(ge=0)] = 0
    """CAV-MAE's time shift: every segment is rolled by up to this. It does move the audio against the frame, by
    design: for models that need no time."""
