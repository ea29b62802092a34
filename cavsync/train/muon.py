"""Muon: steps along the orthogonalised momentum of weight matrices, and AdamW for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.classifier import CAVMAEFT

MOMENTUM = 0.95
# Quintic Newton-Schulz iteration: after 5 rounds singular values lie near 1 (Jordan et al. 2024).
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5
SMALLEST_NORM = 1e-7
# The root mean square of an AdamW update, so that one learning rate suits both (Liu et al. 2025, section 2.2).
UPDATE_RMS = 0.2


class Muon(torch.optim.AdamW):
    """Muon for the groups whose "orthogonal" is true, AdamW for the others.

    The gradient's momentum, with Nesterov's look-ahead, is replaced by the nearest matrix with orthonormal rows or
    columns, so that directions that rarely get a gradient are learned as fast as the others (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon). It is scaled to the size of AdamW's updates (Liu et al. 2025, arXiv
    2502.16982). Weights with more than two dimensions count as matrices (outputs, everything else).

    Where `found_inf` is set to a tensor, as for PyTorch's fused optimizers, a step with 1 in it changes nothing.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; return what `closure`, which computes the gradients anew, returns."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        groups = self.param_groups
        for group in groups:
            if group["orthogonal"]:
                self._orthogonal_step(group)
        self.param_groups = [group for group in groups if not group["orthogonal"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        return loss

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        # Equal shapes are orthogonalised together, in fewer launches.
        shapes: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            shapes.setdefault(parameter.shape, []).append(parameter)
        rate, found_inf = group["lr"], getattr(self, "found_inf", None)
        if found_inf is not None:
            rate = rate * (1 - found_inf)
        for alike in shapes.values():
            self._step_alike(alike, rate, group["weight_decay"], found_inf)

    def _step_alike(
        self, parameters: list[nn.Parameter], rate: float | Tensor, decay: float, found_inf: Tensor | None
    ) -> None:
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        gradients = _gradients(parameters, momenta, found_inf)
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        ahead = torch.stack(torch._foreach_lerp(gradients, momenta, MOMENTUM)).flatten(2)
        scale = UPDATE_RMS * math.sqrt(max(ahead.shape[1:]))
        updates = orthogonalised(ahead).to(ahead.dtype) * (rate * scale)
        kept = 1 - rate * decay
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(kept).sub_(update.reshape(parameter.shape))


def _gradients(parameters: Sequence[nn.Parameter], momenta: Sequence[Tensor], found_inf: Tensor | None) -> list[Tensor]:
    """The gradients; where they are not finite, the momenta, which then stay as they are."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if found_inf is None:
        return gradients
    return [torch.where(found_inf > 0, old, new) for old, new in zip(momenta, gradients, strict=True)]


def orthogonalised(matrices: Tensor) -> Tensor:
    """Bring the singular values of matrices (N, R, C) near 1, keeping their singular vectors; in bfloat16."""
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.bfloat16()
    found = found.mT if is_tall else found
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)
    for _ in range(ROUNDS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if is_tall else found


def orthogonal_names(model: nn.Module) -> set[str]:
    """Names of the parameters that Muon is meant for: weights of hidden linear layers and convolutions.

    Not a classifier's head, whose rows are classes, nor convolutions in groups, nor weights of one row or column.
    """
    names = set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and getattr(module, "groups", 1) == 1:
            weight, full = module.weight, f"{name}.weight"
            if min(len(weight), weight[0].numel()) > 1 and not CAVMAEFT.is_of_head(full):
                names.add(full)
    return names


def orthogonal_size(config: ModelConfig) -> int:
    """Number of weights of which Muon keeps one moment instead of two."""
    with torch.device("meta"):
        model = CAVMAESync(config)
    names = orthogonal_names(model)
    return sum(parameter.numel() for name, parameter in model.named_parameters() if name in names)
