"""The teacher of a pretraining run: a moving average of its encoder that sees whole inputs (TG-DP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from cavsync.model import CAVMAESync
from cavsync.model.patch import FramePairs
from cavsync.model.teacher import TeacherEncoder, Teaching
from cavsync.train.config import TrainConfig
from cavsync.train.device import place_untrained
from cavsync.train.ema import floats, load_tensors, mix_in, reshard, whole_tensors
from cavsync.train.schedule import teacher_decay


class Teacher:
    """Begins as a copy of the student's encoder. Every process holds it, or its shard with FSDP."""

    def __init__(self, student: CAVMAESync, config: TrainConfig, fabric: Fabric) -> None:
        # Without values at first: drawing some would change the random numbers of the run.
        with torch.device("meta"):
            encoder = TeacherEncoder(student.config)
        weights = whole_tensors(student.state_dict())
        encoder.load_state_dict({name: weights[name].clone() for name in encoder.state_dict()}, assign=True)
        self.config, self._fabric = config, fabric
        self._encoder = place_untrained(encoder.requires_grad_(False).eval(), fabric)

    @torch.no_grad()
    def __call__(self, fbank: Tensor, frames: Tensor | FramePairs) -> Teaching:
        """Log-mel (B, audio_length, 128) and frames (B, [T,] 3, H, W) or FramePairs -> Teaching, without gradient."""
        with self._fabric.autocast():
            found = cast(Teaching, self._encoder(fbank, frames))
        reshard(self._encoder)
        return found

    def follow(self, student: nn.Module, progress: float) -> None:
        """Move towards the student's weights; progress in [0, 1] is the share of the run that is over."""
        mix_in(self._tensors(), student, 1 - teacher_decay(self.config, progress))

    def state(self) -> dict[str, Tensor]:
        """The weights, whole and on the CPU. Called by all processes."""
        return whole_tensors(self._tensors())

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved state."""
        load_tensors(self._tensors(), state)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in floats(self._encoder)}
