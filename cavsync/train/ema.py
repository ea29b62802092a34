"""An average of the weights: what is exported and evaluated, where a run keeps one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from cavsync.train.optimizer import whole_tensor
from cavsync.train.schedule import finished_epochs


def moving(decay: float) -> Callable[[int], float]:
    """Weights of an exponential moving average, by step from 1.

    Early in a run the decay is smaller, (1 + n) / (10 + n) after n steps, so that the start is forgotten.
    """
    return lambda step: 1 - min(decay, (1 + step) / (10 + step))


def over_epochs(first_epoch: int, steps_per_epoch: float) -> Callable[[int], float]:
    """Weights of the plain mean over the ends of epochs from `first_epoch` (from 1) on; before, the latest weights.

    A function of the step alone, so a resumed run needs no counter. Source: stochastic weight averaging (Izmailov
    et al. 2018, arXiv 1803.05407), as CAV-MAE's fine-tuning averages its epochs.
    """

    def weight(step: int) -> float:
        finished, before = (finished_epochs(number, steps_per_epoch) for number in (step, step - 1))
        if finished < first_epoch:
            return 1.0
        return 1 / (finished - first_epoch + 1) if finished > before else 0.0

    return weight


class WeightAverage:
    """`average += weight(step) * (weights - average)` after each step; batch statistics are taken as they are."""

    def __init__(self, model: nn.Module, weight: Callable[[int], float]) -> None:
        self.model, self.weight = model, weight
        self.average = {name: value.detach().clone() for name, value in _floats(model)}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step `step` (from 1)."""
        weight = self.weight(step)
        if not weight:
            return
        names = {name for name, _ in self.model.named_parameters()}
        for name, value in _floats(self.model):
            if name in names:
                self.average[name].lerp_(value.detach(), weight)
            else:
                self.average[name].copy_(value)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model computes with the average inside the block."""
        reshard(self.model)
        kept = {name: value.detach().clone() for name, value in _floats(self.model)}
        self._put(self.average)
        try:
            yield
        finally:
            reshard(self.model)
            self._put(kept)

    def state(self) -> dict[str, Tensor]:
        """The average, whole and on the CPU. Called by all processes."""
        return {name: whole_tensor(value).contiguous() for name, value in self.average.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved state."""
        for name, value in self.average.items():
            saved = state[name].to(value.device)
            if isinstance(value, DTensor):
                saved = distribute_tensor(saved, value.device_mesh, value.placements)
            value.copy_(saved)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in _floats(self.model):
            value.copy_(values[name])


def reshard(model: nn.Module) -> None:
    """FSDP leaves parameters whole after a forward pass that no backward pass follows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def _floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point():
            yield name, value
