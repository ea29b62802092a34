"""An exponential moving average of the weights: what is exported and evaluated, where a run keeps one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from cavsync.train.optimizer import whole_tensor


class WeightAverage:
    """`average = decay * average + (1 - decay) * weights` after each step; batch statistics are taken as they are.

    Early in a run the decay is smaller, (1 + n) / (10 + n) after n steps, so that the start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.average = {name: value.detach().clone() for name, value in _floats(model)}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step` (from 1)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        names = {name for name, _ in self.model.named_parameters()}
        for name, value in _floats(self.model):
            if name in names:
                self.average[name].lerp_(value.detach(), weight)
            else:
                self.average[name].copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model computes with the average inside the block."""
        _reshard(self.model)
        kept = {name: value.detach().clone() for name, value in _floats(self.model)}
        self._put(self.average)
        try:
            yield
        finally:
            _reshard(self.model)
            self._put(kept)

    def state(self) -> dict[str, Tensor]:
        """The average, whole and on the CPU. Called by all processes."""
        return {name: whole_tensor(value).contiguous() for name, value in self.average.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state."""
        for name, value in self.average.items():
            saved = state[name].to(value.device)
            if isinstance(value, DTensor):
                saved = distribute_tensor(saved, value.device_mesh, value.placements)
            value.copy_(saved)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in _floats(self.model):
            value.copy_(values[name])


def _reshard(model: nn.Module) -> None:
    """FSDP leaves parameters whole after a forward pass that no backward pass follows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point():
            yield name, value
