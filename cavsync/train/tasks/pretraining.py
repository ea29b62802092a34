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
from cavsync.model.config import MaskMode, PatchGrid
from cavsync.model.load import initialise_from
from cavsync.model.masking import ContrastPath, make_masking, ranked
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
        loss, scalars = self._forward(model, self.inputs(batch, device, draw), draw)
        return loss, {name: float(value) for name, value in scalars.items()}

    def reason_against_recording(self) -> str:
        """See `Recordable.reason_against_recording`."""
        if self.model_config.multi_ratio_masking:
            return "multi_ratio_masking hides another number of patches in each step"
        if self.model_config.pair_stem:
            return "pair_stem computes as many pairs of frames as a batch has, which differ from step to step"
        return ""

    def inputs(self, batch: PairBatch, device: torch.device, draw: Draw) -> dict[str, Tensor]:
        """See `Recordable.inputs`."""
        found = {"fbank": batch.normalised_features(device)}
        if self.model_config.pair_stem:
            found["pairs"], found["tubelets"] = batch.frame_pairs(device)
        else:
            found["frames"] = batch.normalised_frames(device)
        ignored = batch.ignored_pairs(
            guard_seconds(self.config, draw.progress), self.config.negatives == "clip", device
        )
        if ignored is not None:
            found["ignored"] = ignored
        # The model itself draws how much a step hides, before it draws what.
        return found if self.model_config.multi_ratio_masking else found | self._ranks(len(batch), device, draw)

    def compute(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Recordable.compute`."""
        return self._forward(model, inputs, None)

    def _forward(self, model: Any, inputs: dict[str, Tensor], draw: Draw | None) -> tuple[Tensor, dict[str, Tensor]]:
        config, fbank = self.config, inputs["fbank"]
        frames = FramePairs(inputs["pairs"], inputs["tubelets"]) if "pairs" in inputs else inputs["frames"]
        teaching = self._teaching(fbank, frames)
        output: PretrainOutput = model(
            fbank,
            frames,
            config.mask_ratio_audio,
            config.mask_ratio_visual,
            config.mae_loss_weight,
            config.contrast_loss_weight,
            ids_restore_audio=inputs.get("ranks_audio"),
            ids_restore_visual=inputs.get("ranks_visual"),
            contrastive_ignore=inputs.get("ignored"),
            # Clips of other processes are no negatives then.
            gather_negatives=config.negatives == "batch",
            generator=None if draw is None else draw.generator,
            place=None if draw is None else draw.place,
            contrast_path=self._contrast_path(teaching, inputs),
            distil_loss_weight=config.distil_loss_weight,
            targets=None if teaching is None else (teaching.audio, teaching.visual),
        )
        return output.loss, describe(output, is_distilled=bool(config.distil_loss_weight))

    def _ranks(self, batch: int, device: torch.device, draw: Draw) -> dict[str, Tensor]:
        """Draw the masks of a batch, in the order in which the model would."""
        config, model = self.config, self.model_config
        wanted: dict[str, tuple[PatchGrid, float, MaskMode]] = {
            "ranks_audio": (model.audio_grid, config.mask_ratio_audio, model.mask_mode_audio),
            "ranks_visual": (model.visual_grid, config.mask_ratio_visual, model.mask_mode_visual),
        }
        if config.contrast_mask == "random" and (config.contrast_loss_weight or config.distil_loss_weight):
            wanted["contrast_ranks_audio"] = (model.audio_grid, config.contrast_mask_ratio, "unstructured")
            wanted["contrast_ranks_visual"] = (model.visual_grid, config.contrast_mask_ratio, "unstructured")
        return {
            name: make_masking(None, batch, device, grid, ratio, mode, draw.generator, draw.place).ids_restore
            for name, (grid, ratio, mode) in wanted.items()
        }

    def _teaching(self, fbank: Tensor, frames: Tensor | FramePairs) -> Teaching | None:
        """Ask the teacher, where the loss needs it."""
        return self.teacher(fbank, frames) if self.teacher is not None and self.config.asks_teacher else None

    def _contrast_path(self, teaching: Teaching | None, inputs: dict[str, Tensor]) -> ContrastPath | None:
        if self.config.contrast_mask == "shared":
            return None
        audio, visual = inputs.get("contrast_ranks_audio"), inputs.get("contrast_ranks_visual")
        if self.config.contrast_mask == "teacher" and teaching is not None:
            assert teaching.audio_priority is not None
            assert teaching.visual_priority is not None
            audio, visual = ranked(teaching.audio_priority), ranked(teaching.visual_priority)
        return ContrastPath(self.config.contrast_mask_ratio, audio, visual)


def describe(output: PretrainOutput, *, is_distilled: bool = False) -> dict[str, Tensor]:
    """Return the scalars of a forward pass, on its device."""
    names = ["loss", "loss_mae", "loss_mae_audio", "loss_mae_visual", "loss_contrastive", "contrastive_accuracy"]
    if is_distilled:
        names.append("loss_distillation")
    return {name: getattr(output, name).detach() for name in (*names, "temperature")}
