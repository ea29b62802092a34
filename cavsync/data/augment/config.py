"""The strengths of the random changes to a clip, which are the same for all its instants and so keep its timing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

ShareUpToOne = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[PositiveFloat, PositiveFloat]


class Augmentation(BaseModel):
    """Chances and strengths of the changes; the defaults change nothing."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    mirror: ShareUpToOne = 0.0
    """Chance that the frames are mirrored."""
    crop_area: Range = (1.0, 1.0)
    """RandomResizedCrop: range of the crop's share of the frame's area (Szegedy et al. 2014, arXiv 1409.4842)."""
    colour: NonNegativeFloat = 0.0
    """Strength of the change of contrast, brightness and colour balance; 1 is a visible, harmless change."""
    mixup: ShareUpToOne = 0.0
    """Chance that frames and audio are blended with another clip's (Zhang et al. 2017, arXiv 1710.09412). Frames are
    blended as floats."""
    mixup_audio: Literal["power", "waveform"] = "power"
    """How mixup blends audio: powers of the log-mel add, or samples add, as in the public code of CAV-MAE."""

    tempo: Range = (1.0, 1.0)
    """Range of the factor by which video and audio are sped up together."""

    gain_db: NonNegativeFloat = 0.0
    """Largest change of the audio's level, up or down."""
    background: ShareUpToOne = 0.0
    """Chance that another clip's audio is added below the level of the clip's own."""
    noise_floor: bool = False
    """Whether to add steady noise of a random level, from inaudible to loud."""
    mel_shift_bins: NonNegativeInt = 0
    """Largest shift of the spectrum, up or down, which imitates other voices and rooms."""
    frequency_mask_bins: NonNegativeInt = 0
    """SpecAugment: exclusive upper bound of the width of the masked band of mel bins (Park et al. 2019, arXiv
    1904.08779), drawn as in torchaudio."""
    time_mask_frames: NonNegativeInt = 0
    """SpecAugment: exclusive upper bound of the number of successive log-mel frames masked in every segment."""
    mask_fill: Literal["mean", "zero"] = "mean"
    """What SpecAugment writes: the mean log-mel of speech and noise, or, as the public code of CAV-MAE, 0, which is
    louder than that by 1.1 standard deviations."""
    feature_noise: NonNegativeFloat = 0.0
    """CAV-MAE's noise: largest strength of the uniform noise that is added to the log-mel."""
    time_shift_frames: NonNegativeInt = 0
    """CAV-MAE's time shift: largest number of log-mel frames by which every segment is rolled. It moves the audio
    against the frames, so it is for models that ignore timing."""

    @property
    def needs_samples(self) -> bool:
        """Whether audio is changed as samples, so that cached clips must keep them."""
        return self.mixup > 0 and self.mixup_audio == "waveform"
