"""The optimizer, and its state by parameter names: the same file for one process, DDP and FSDP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from cavsync.errors import CheckpointError
from cavsync.model.classifier import CAVMAEFT
from cavsync.train.config import TrainConfig


def make_optimizer(model: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Adam as CAV-MAE uses it (decay on everything), or AdamW with decay on matrices only.

    Each group's `rate_factor` multiplies the schedule's rate: that of a classifier's head is the configured one.
    """
    rest: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "fused": device.type in ("cpu", "cuda")}
    head_factor = 1.0 if config.classify is None else config.classify.head_rate_factor
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = head_factor if CAVMAEFT.is_of_head(name) else 1.0
            decays = config.optimizer == "adam" or parameter.ndim > 1
            groups.setdefault((factor, config.weight_decay if decays else 0.0), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "rate_factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    return kind(described, **rest)


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """State of every parameter that has one, whole and on the CPU, by the parameter's name. Called by all processes."""
    return {
        name: {key: whole_tensor(value) for key, value in optimizer.state[parameter].items()}
        for name, parameter in model.named_parameters()
        if parameter in optimizer.state
    }


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Put a state back, sharded like the parameters. CheckpointError for state of a parameter that is not there."""
    parameters = dict(model.named_parameters())
    unknown = saved.keys() - parameters.keys()
    if unknown:
        raise CheckpointError(
            f"The optimizer state names '{min(unknown)}', which the model does not have: not its own."
        )
    for name, state in saved.items():
        parameter = parameters[name]
        optimizer.state[parameter] = {key: _like(value, parameter) for key, value in state.items()}


def whole_tensor(value: Tensor) -> Tensor:
    """A tensor on the CPU, gathered from all processes where it is sharded."""
    value = value.detach()
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """On the parameter's device, where fused optimizers want their counters too; sharded as the parameter is."""
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    if isinstance(parameter, DTensor):
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)
    return value.to(parameter.device, copy=True)
