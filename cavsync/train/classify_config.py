"""Options of a run that trains a classifier; part of its configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from cavsync.data.sources.classes import Target
from cavsync.model.classifier import CLIP_HEADS, Head, TrainedHead, TrainedMode


class ClassifyConfig(BaseModel):
    """Options of fine-tuning and probing; the defaults fine-tune without the extras of CAV-MAE's recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: Target = "multi-label"
    """Any number of classes per clip (binary cross-entropy for each), or exactly one (cross-entropy)."""
    mode: TrainedMode = "multimodal"
    """What the classifier is trained on: both modalities or one of them."""
    head: TrainedHead = "linear"
    """A LayerNorm and a linear layer on the mean of the tokens, or on their attention pooling by a learned query; or
    the probe of CAV-MAE Sync, two blocks with a learned token on the global tokens of `instants_per_clip` frames."""
    freeze_encoder: bool = False
    """Probing: train only the head."""
    head_rate_factor: Annotated[float, Field(gt=0.0)] = 1.0
    """The head's learning rate, in multiples of the encoder's."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the target that is spread over all classes."""
    balanced_sampling: bool = False
    """Draw clips so that all classes occur about equally often."""
    class_labels: str | None = None
    """Path of a CSV `index,mid,display_name`; without one, all labels of the clips are the classes."""
    ignore_other_labels: bool = False
    """Ignore labels that are not in the vocabulary, instead of stopping."""

    @property
    def model_head(self) -> Head:
        """The model's head: the probe is narrower for one modality."""
        if self.head == "self_attention_cls" and self.mode != "multimodal":
            return "self_attention_cls_single"
        return self.head

    @property
    def takes_clips(self) -> bool:
        """Whether the head takes the frames of a clip together."""
        return self.model_head in CLIP_HEADS
