"""Pretraining: masked reconstruction and contrastive learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from cavsync.data.batches import PairBatch
from cavsync.model import CAVMAESync, ModelConfig, PretrainOutput
from cavsync.model.load import initialise_from
from cavsync.model.patch import FramePairs
from cavsync.model.vision_mae import initialise_from_vision_mae
from cavsync.train.config import TrainConfig
from cavsync.train.ranks import Ranks
from cavsync.train.schedule import guard_seconds
from cavsync.train.tasks.task import Draw, Task


@dataclass(frozen=True)
class Pretraining(Task):
    """The task of CAV-MAE and CAV-MAE Sync; see `cavsync.train.tasks.task.Task`."""

    model_config: ModelConfig
    config: TrainConfig
    held_out: ClassVar[Mapping[str, str]] = {"held_out_loss": "loss", "held_out_accuracy": "contrastive_accuracy"}

    def build(self) -> CAVMAESync:
        """Make the model with random weights."""
        return CAVMAESync(self.model_config)

    def initialise(self, model: CAVMAESync) -> None:
        """Load weights from a run or checkpoint of the same sizes, or from a vision masked autoencoder."""
        if self.config.init_from is not None:
            initialise_from(model, self.config.init_from)
        elif self.config.vision_mae is not None:
            initialise_from_vision_mae(model, self.config.vision_mae)

    def prepare(self, model: CAVMAESync) -> None:
        """Do nothing: everything is trained."""

    def revise(self, model: Any, step: int, num_steps: int, ranks: Ranks) -> bool:
        """Change nothing."""
        del model, step, num_steps, ranks
        return False

    def loss(self, model: Any, batch: PairBatch, device: torch.device, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Run one pretraining forward pass; see `Task.loss`."""
        config = self.config
        ignored = batch.ignored_pairs(guard_seconds(config, draw.progress), config.negatives == "clip", device)
        output: PretrainOutput = model(
            batch.normalised_features(device),
            FramePairs(*batch.frame_pairs(device)) if self.model_config.pair_stem else batch.normalised_frames(device),
            config.mask_ratio_audio,
            config.mask_ratio_visual,
            config.mae_loss_weight,
            config.contrast_loss_weight,
            contrastive_ignore=ignored,
            # Clips of other processes are no negatives then.
            gather_negatives=config.negatives == "batch",
            generator=draw.generator,
            place=draw.place,
        )
        return output.loss, describe(output)


def describe(output: PretrainOutput) -> dict[str, float]:
    """Return the scalars of a forward pass."""
    names = ("loss", "loss_mae", "loss_mae_audio", "loss_mae_visual", "loss_contrastive", "contrastive_accuracy")
    return {name: float(getattr(output, name).detach()) for name in (*names, "temperature")}
