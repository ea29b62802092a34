"""Copies of the weights in autocast's dtype, refreshed once per update instead of cast in every forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn


class _Place(NamedTuple):
    module: nn.Module
    name: str
    parameter: nn.Parameter
    copy: nn.Parameter


class HalfWeights:
    """Stand-ins for the trained weights of linear layers and convolutions, which autocast would cast.

    Numbers are those of autocast: the same rounded weights, and gradients in its dtype, which are added to the
    parameters' own in float32.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        self._places = [
            _Place(module, name, parameter, nn.Parameter(parameter.detach().to(dtype)))
            for module in model.modules()
            if isinstance(module, nn.Linear | nn.Conv2d)
            for name, parameter in module.named_parameters(recurse=False)
            if parameter.requires_grad
        ]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model computes with the copies inside the block; afterwards their gradients are the parameters'."""
        for module, name, _, copy in self._places:
            module._parameters[name] = copy
        try:
            yield
        finally:
            for module, name, parameter, _ in self._places:
                module._parameters[name] = parameter
        self._hand_over()

    @torch.no_grad()
    def refresh(self) -> None:
        """Take over the parameters' values."""
        torch._foreach_copy_([place.copy for place in self._places], [place.parameter for place in self._places])

    def discard_gradients(self) -> None:
        """Forget gradients that were not handed over."""
        for place in self._places:
            place.copy.grad = None

    def _hand_over(self) -> None:
        for _, _, parameter, copy in self._places:
            if copy.grad is None:
                continue
            if parameter.grad is None:
                parameter.grad = copy.grad.to(parameter.dtype)
            else:
                parameter.grad.add_(copy.grad)
            copy.grad = None
