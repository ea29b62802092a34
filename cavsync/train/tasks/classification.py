"""Classification: fine-tuning a pretrained encoder, or training only a head on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cavsync.data.batches import PairBatch
from cavsync.data.sources.classes import ClipClasses, Target
from cavsync.errors import CheckpointError, ConfigError
from cavsync.model import ModelConfig
from cavsync.model.classifier import AUDIO_MODES, CAVMAEFT, FRAME_MODES
from cavsync.model.load import load_any
from cavsync.model.vision_mae import initialise_from_vision_mae
from cavsync.ranking import Ranking
from cavsync.train.classify_config import ClassifyConfig
from cavsync.train.config import TrainConfig
from cavsync.train.ranks import Ranks
from cavsync.train.tasks.task import Draw, Task

OWN_OPTIONS = ("audio_length", "img_size", "tr_pos")
"""Model options in which a classifier may differ from the encoder that it starts from."""
MEAN_AVERAGE_PRECISION = "held_out_map"
ClipScores = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Probabilities and classes of clips, both (clips, classes)."""
UNTRAINED = "Only the head is to be trained, on an encoder that has learned nothing: pass --set init_from=PATH."


@dataclass(frozen=True)
class Classification(Task):
    """The classification task (see `Task`). Every pair of a clip has the clip's classes."""

    model_config: ModelConfig
    config: TrainConfig
    options: ClassifyConfig
    classes: ClipClasses
    held_out: ClassVar[Mapping[str, str]] = {"held_out_loss": "loss", "held_out_accuracy": "accuracy"}

    @property
    def metric(self) -> str:
        """The mAP where a clip may have several classes."""
        return MEAN_AVERAGE_PRECISION if self.options.target == "multi-label" else "held_out_accuracy"

    def build(self) -> CAVMAEFT:
        """Make the classifier with random weights."""
        return CAVMAEFT(self.model_config, len(self.classes.labels), self.options.model_head)

    def initialise(self, model: CAVMAEFT) -> dict[str, str]:
        """Load the encoder of a run or of a checkpoint; the head keeps its random weights.

        Raises ConfigError where an untrained encoder is to be frozen, CheckpointError where the weights do not fit.
        """
        start = self.config.init_from
        if start is not None:
            encoder = load_any(start)
            own = {name: getattr(model.config, name) for name in OWN_OPTIONS}
            if encoder.config.model_copy(update={**own, "has_decoder": False}) != model.config:
                raise CheckpointError(
                    f"'{start}' holds an encoder of another configuration than this run's: leave out the model options "
                    "that were set, or start from another one."
                )
            return model.take_encoder(encoder)
        if self.config.vision_mae is not None:
            initialise_from_vision_mae(model, self.config.vision_mae)
        elif self.options.freeze_encoder:
            raise ConfigError(UNTRAINED)
        return {}

    def prepare(self, model: CAVMAEFT) -> None:
        """Freeze the encoder of a probe."""
        if self.options.freeze_encoder:
            model.freeze_encoder()

    def revise(self, model: Any, step: int, num_steps: int, ranks: Ranks) -> bool:
        """Change nothing."""
        del model, step, num_steps, ranks
        return False

    def loss(self, model: Any, batch: PairBatch, device: torch.device, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Compute the cross-entropy with the (mixed, smoothed) targets; `accuracy` is the share of pairs whose
        highest-scoring class is among those of their clip. See `Task.loss`; nothing is random here."""
        del draw
        return self._of_batch(model, batch, device)[:2]

    def measure(
        self, model: Any, batch: PairBatch, device: torch.device, draw: Draw
    ) -> tuple[dict[str, float], ClipScores]:
        """Return the scalars of `loss`, and the mean probabilities of each clip with its classes; see
        `Task.measure`."""
        del draw
        _, scalars, logits = self._of_batch(model, batch, device)
        probabilities, targets = class_probabilities(logits, self.options.target), self.classes.targets(batch.contents)
        rows = self._clip_of_row(batch)
        counts = torch.bincount(rows, minlength=len(targets))
        sums = torch.zeros(targets.shape).index_add_(0, rows, probabilities.cpu())
        return scalars, ((sums / counts[:, None]).numpy(), targets.numpy() > 0)

    def over_clips(self, parts: Sequence[ClipScores]) -> dict[str, float]:
        """Return the mean over classes of the average precision, for multi-label targets; see `Task.over_clips`."""
        if self.options.target != "multi-label":
            return {}
        scores, targets = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        found = [Ranking.of(*column).average_precision() for column in zip(scores.T, targets.T, strict=True)]
        return {MEAN_AVERAGE_PRECISION: float(np.nanmean(found))}

    def _of_batch(self, model: Any, batch: PairBatch, device: torch.device) -> tuple[Tensor, dict[str, float], Tensor]:
        """Return loss, scalars and logits, a row for each pair, or each visit to a clip with a head on clips."""
        mode = self.options.mode
        fbank = batch.normalised_features(device) if mode in AUDIO_MODES else None
        frames = batch.normalised_frames(device) if mode in FRAME_MODES else None
        logits = model(fbank, frames, mode, self.config.instants_per_clip if self.options.takes_clips else 1)
        rows = self._clip_of_row(batch)
        targets = self.classes.targets(batch.contents, self.options.label_smoothing)[rows].to(device)
        plain = self.classes.targets(batch.contents)[rows].to(device)
        loss = classification_loss(logits, targets, self.options.target)
        right = plain.gather(1, logits.detach().argmax(dim=1, keepdim=True)) > 0
        return loss, {"loss": float(loss.detach()), "accuracy": float(right.float().mean())}, logits.detach()

    def _clip_of_row(self, batch: PairBatch) -> Tensor:
        """Return the number of the visit that each row of the logits belongs to."""
        return torch.arange(len(batch.contents)) if self.options.takes_clips else batch.clip_index


def class_probabilities(logits: Tensor, target: Target) -> Tensor:
    """Return the probabilities (B, C): of each class by itself for multi-label targets, else of all together."""
    return logits.float().sigmoid() if target == "multi-label" else logits.float().softmax(dim=-1)


def classification_loss(logits: Tensor, targets: Tensor, target: Target) -> Tensor:
    """Return the mean loss (scalar) of logits and targets (B, C): binary cross-entropy over clips and classes for
    multi-label targets, else cross-entropy with the targets as probabilities."""
    if target == "multi-label":
        return F.binary_cross_entropy_with_logits(logits.float(), targets)
    return F.cross_entropy(logits.float(), targets)
