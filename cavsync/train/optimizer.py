"""The optimizer, and its state by parameter name, which is the same for one process, DDP and FSDP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from cavsync.errors import CheckpointError
from cavsync.model.classifier import CAVMAEFT
from cavsync.train.config import TrainConfig
from cavsync.train.muon import Muon, orthogonal_names

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "muon": Muon,
}


def make_optimizer(model: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Make Adam as CAV-MAE uses it (weight decay on everything), AdamW with decay on matrices only, or Muon.

    Each parameter group's `rate_factor` multiplies the schedule's rate: the configured one for a classifier's head,
    else 1. Muon's groups say whether they are "orthogonal"; the others are AdamW's.
    """
    rest: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "fused": device.type in ("cpu", "cuda")}
    head_factor = 1.0 if config.classify is None else config.classify.head_rate_factor
    orthogonal = orthogonal_names(model) if config.optimizer == "muon" else set()
    groups: dict[tuple[float, float, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = head_factor if CAVMAEFT.is_of_head(name) else 1.0
            decays = config.optimizer == "adam" or parameter.ndim > 1
            kind = (factor, config.weight_decay if decays else 0.0, name in orthogonal)
            groups.setdefault(kind, []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "rate_factor": factor, "weight_decay": decay, "orthogonal": is_orthogonal}
        for (factor, decay, is_orthogonal), parameters in groups.items()
    ]
    return OPTIMIZERS[config.optimizer](described, **rest)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate` times its factor, in place where the group has a tensor."""
    for group in optimizer.param_groups:
        value = rate * group["rate_factor"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return the state of every parameter that has one, by its name, gathered on the CPU. Called by all processes."""
    return {
        name: {key: whole_tensor(value) for key, value in optimizer.state[parameter].items()}
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Load a state, sharded like the parameters. CheckpointError for state of a parameter that the model lacks."""
    parameters = dict(model.named_parameters())
    unknown = saved.keys() - parameters.keys()
    if unknown:
        raise CheckpointError(
            f"The optimizer state names '{min(unknown)}', which the model lacks: resume the run that wrote it."
        )
    for name, state in saved.items():
        parameter = parameters[name]
        optimizer.state[parameter] = {key: _like(value, parameter) for key, value in state.items()}


def whole_tensor(value: Tensor) -> Tensor:
    """Return a tensor on the CPU, gathered from all processes if it is sharded."""
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Move to the parameter's device, where fused optimizers also need their counters; shard as the parameter is."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    if isinstance(parameter, DTensor):
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value.to(parameter.device, copy=True)
