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
        self.average = {name: value.detach().clone() for name, value in floats(model)}

    def update(self, step: int) -> None:
        """Take in the weights after step `step` (from 1)."""
        mix_in(self.average, self.model, self.weight(step))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model computes with the average inside the block."""
        reshard(self.model)
        kept = {name: value.detach().clone() for name, value in floats(self.model)}
        self._put(self.average)
        try:
            yield
        finally:
            reshard(self.model)
            self._put(kept)

    def state(self) -> dict[str, Tensor]:
        """The average, whole and on the CPU. Called by all processes."""
        return whole_tensors(self.average)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Restore a saved state."""
        load_tensors(self.average, state)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, value in floats(self.model):
            value.copy_(values[name])


@torch.no_grad()
def mix_in(average: Mapping[str, Tensor], model: nn.Module, weight: float) -> None:
    """`average += weight * (model's - average)`, for those of the model's tensors that the average has.

    Buffers, which are batch statistics, are taken as they are. A weight of 0 changes nothing.
    """
    if not weight:
        return
    parameters = {name for name, _ in model.named_parameters()}
    kept = [(name, value.detach()) for name, value in floats(model) if name in average]
    moved = [(average[name], value) for name, value in kept if name in parameters]
    if moved:
        # One call for all of them: a GPU would wait for the host to launch hundreds.
        torch._foreach_lerp_([old for old, _ in moved], [new for _, new in moved], weight)
    for name, value in kept:
        if name not in parameters:
            average[name].copy_(value)


def whole_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU, gathered from all processes, which all call it."""
    return {name: whole_tensor(value).contiguous() for name, value in tensors.items()}


@torch.no_grad()
def load_tensors(tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Give tensors the values of a saved state, sharded as they are. KeyError where it lacks one."""
    for name, value in tensors.items():
        saved = state[name].to(value.device)
        if isinstance(value, DTensor):
            saved = distribute_tensor(saved, value.device_mesh, value.placements)
        value.copy_(saved)


def reshard(model: nn.Module) -> None:
    """FSDP leaves parameters whole after a forward pass that no backward pass follows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers that hold floating-point numbers."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point():
            yield name, value
