"""Pretraining: masked reconstruction and contrastive learning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from cavsync.data.batches import PairBatch
from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync, ModelConfig, PretrainOutput
from cavsync.model.load import initialise_from
from cavsync.model.masking import ContrastPath, ranked
from cavsync.model.patch import FramePairs
from cavsync.model.teacher import Teaching
from cavsync.model.vision_mae import initialise_from_vision_mae
from cavsync.train.config import TrainConfig
from cavsync.train.ranks import Ranks
from cavsync.train.schedule import guard_seconds
from cavsync.train.tasks.task import Draw, Task
from cavsync.train.teacher import Teacher


@dataclass
class Pretraining(Task):
    """The task of CAV-MAE and CAV-MAE Sync; see `cavsync.train.tasks.task.Task`."""

    model_config: ModelConfig
    config: TrainConfig
    teacher: Teacher | None = None
    held_out: ClassVar[Mapping[str, str]] = {"held_out_loss": "loss", "held_out_accuracy": "contrastive_accuracy"}

    def __post_init__(self) -> None:
        if self.config.contrast_mask == "teacher" and not self.model_config.cls_token:
            raise ConfigError("contrast_mask=teacher ranks patches by their global token: set cls_token to true.")

    def build(self) -> CAVMAESync:
        """Make the model with random weights."""
        return CAVMAESync(self.model_config)

    def initialise(self, model: CAVMAESync) -> dict[str, str]:
        """Load weights from a run or checkpoint of the same sizes, or from a vision masked autoencoder."""
        if self.config.init_from is not None:
            return initialise_from(model, self.config.init_from)
        if self.config.vision_mae is not None:
            initialise_from_vision_mae(model, self.config.vision_mae)
        return {}

    def prepare(self, model: CAVMAESync) -> None:
        """Do nothing: everything is trained."""

    def make_teacher(self, model: CAVMAESync, fabric: Fabric) -> Teacher | None:
        """Copy the encoder, if the run is to keep a teacher."""
        if self.config.teacher_decay is not None:
            self.teacher = Teacher(model, self.config, fabric)
        return self.teacher

    def revise(self, model: Any, step: int, num_steps: int, ranks: Ranks) -> bool:
        """Change nothing."""
        del model, step, num_steps, ranks
        return False

    def loss(self, model: Any, batch: PairBatch, device: torch.device, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Run one pretraining forward pass; see `Task.loss`."""
        config = self.config
        ignored = batch.ignored_pairs(guard_seconds(config, draw.progress), config.negatives == "clip", device)
        fbank = batch.normalised_features(device)
        frames = (
            FramePairs(*batch.frame_pairs(device)) if self.model_config.pair_stem else batch.normalised_frames(device)
        )
        teaching = self._teaching(fbank, frames)
        output: PretrainOutput = model(
            fbank,
            frames,
            config.mask_ratio_audio,
            config.mask_ratio_visual,
            config.mae_loss_weight,
            config.contrast_loss_weight,
            contrastive_ignore=ignored,
            # Clips of other processes are no negatives then.
            gather_negatives=config.negatives == "batch",
            generator=draw.generator,
            place=draw.place,
            contrast_path=self._contrast_path(teaching),
            distil_loss_weight=config.distil_loss_weight,
            targets=None if teaching is None else (teaching.audio, teaching.visual),
        )
        return output.loss, describe(output, is_distilled=bool(config.distil_loss_weight))

    def _teaching(self, fbank: Tensor, frames: Tensor | FramePairs) -> Teaching | None:
        """Ask the teacher, where the loss needs it."""
        return self.teacher(fbank, frames) if self.teacher is not None and self.config.asks_teacher else None

    def _contrast_path(self, teaching: Teaching | None) -> ContrastPath | None:
        if self.config.contrast_mask == "shared":
            return None
        path = ContrastPath(self.config.contrast_mask_ratio)
        if self.config.contrast_mask == "random" or teaching is None:
            return path
        assert teaching.audio_priority is not None
        assert teaching.visual_priority is not None
        return path._replace(
            ids_restore_audio=ranked(teaching.audio_priority), ids_restore_visual=ranked(teaching.visual_priority)
        )


def describe(output: PretrainOutput, *, is_distilled: bool = False) -> dict[str, float]:
    """Return the scalars of a forward pass."""
    names = ["loss", "loss_mae", "loss_mae_audio", "loss_mae_visual", "loss_contrastive", "contrastive_accuracy"]
    if is_distilled:
        names.append("loss_distillation")
    return {name: float(getattr(output, name).detach()) for name in (*names, "temperature")}
