"""Forward, backward and update of a step, recorded once for every shape of its inputs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from cavsync.train.graphs.half_weights import HalfWeights
from cavsync.train.graphs.recorder import Recorder, Work

WARM_UP_RUNS = 3
"""Runs before work is recorded: kernels are compiled and tables filled in them. They are steps like all others."""
MAX_SHAPES = 4
"""Graphs of the forward and backward pass; each holds memory. Batches of further shapes are not recorded."""

Inputs = dict[str, Tensor]
Compute = Callable[[Any, Inputs], tuple[Tensor, dict[str, Tensor]]]

log = logging.getLogger(__name__)


@dataclass
class _Recorded:
    """Work that is repeated as a graph after its first runs. `replay` is None until it is recorded."""

    work: Work
    runs: int = 0
    replay: Work | None = None


@dataclass
class _Part(_Recorded):
    """Forward and backward pass over inputs in memory of their own.

    names, report: the scalars and their values (loss first), on the device.
    """

    inputs: Inputs = field(default_factory=dict)
    names: tuple[str, ...] = ()
    report: Tensor | None = None


class StepEngine:
    """The device's part of a training step. Nothing here waits for the device.

    compute: model and inputs -> loss and scalars, all of them scalars on the device. The optimizer is a fused one, as
    Fabric has wrapped it; its rates become tensors. max_norm: largest norm of the gradient.
    """

    def __init__(
        self,
        compute: Compute,
        fabric: Fabric,
        model: Any,
        optimizer: Any,
        recorder: Recorder,
        max_norm: float = math.inf,
    ) -> None:
        self._compute, self._fabric, self._model, self._optimizer = compute, fabric, model, optimizer
        self._recorder: Recorder | None = recorder
        self._max_norm = max_norm
        self.refusal = ""
        """Why recording failed, "" where it did not: work is then run as it is."""
        with fabric.autocast():
            kind = fabric.device.type
            dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        self._half = None if dtype is None else HalfWeights(model.module, dtype)
        self._norm, self._is_bad = torch.zeros(2, device=fabric.device).unbind()
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=fabric.device)
        # Fused optimizers change nothing where this is 1.
        optimizer.optimizer.found_inf = self._is_bad
        self._parts: dict[Any, _Part] = {}
        self._update = _Recorded(self._update_work)

    def part(self, inputs: Mapping[str, Tensor], weight: float) -> tuple[tuple[str, ...], Tensor]:
        """Add the gradient of `weight` times the loss; return the names of the loss and the scalars, and their values.

        The values (names,) are on the device.
        """
        given = {**inputs, "weight": torch.full((), weight, device=self._fabric.device)}
        part = self._part_for(given)
        for name, value in given.items():
            part.inputs[name].copy_(value)
        self._run(part)
        assert part.report is not None
        return part.names, part.report.clone()

    def update(self) -> Tensor:
        """Change the weights, unless a loss or the gradient is not finite; return the norm of the gradient.

        It is a scalar on the device. Gradients are 0 afterwards.
        """
        self._run(self._update)
        return self._norm.clone()

    @property
    def num_recorded(self) -> int:
        """Graphs recorded so far."""
        return sum(item.replay is not None for item in (*self._parts.values(), self._update))

    def _part_for(self, inputs: Inputs) -> _Part:
        """The recorded work for inputs of these shapes, or work to be run as it is."""
        shape = tuple((name, tuple(value.shape), value.dtype) for name, value in inputs.items())
        if shape in self._parts:
            return self._parts[shape]
        own = {name: torch.empty_like(value) for name, value in inputs.items()}
        part = _Part(lambda: self._part_work(part), inputs=own)
        if len(self._parts) < MAX_SHAPES:
            self._parts[shape] = part
        elif self._recorder is not None:
            log.info("A batch of a further shape runs without a CUDA graph: %d shapes have one", MAX_SHAPES)
        return part

    def _run(self, item: _Recorded) -> None:
        if item.replay is None and item.runs >= WARM_UP_RUNS and self._recorder is not None:
            self._record(item, self._recorder)
        item.runs += 1
        if item.replay is not None:
            item.replay()
        elif self._recorder is not None:
            self._recorder.warm_up(item.work)
        else:
            item.work()

    def _record(self, item: _Recorded, recorder: Recorder) -> None:
        try:
            self._set_capturable(True)
            item.replay = recorder.record(item.work)
        except RuntimeError as error:
            self._set_capturable(False)
            self._recorder = None
            if self._half is not None:
                self._half.discard_gradients()
            self.refusal = _first_cause(error)
            log.warning("Training continues without CUDA graphs, because recording one failed: %s", self.refusal)

    def _set_capturable(self, flag: bool) -> None:
        for group in self._optimizer.param_groups:
            group["capturable"] = flag

    def _part_work(self, part: _Part) -> None:
        inputs = dict(part.inputs)
        weight = inputs.pop("weight")
        if self._half is None:
            loss, scalars = self._differentiated(inputs, weight)
        else:
            with self._half.in_use():
                loss, scalars = self._differentiated(inputs, weight)
        with torch.no_grad():
            report = torch.stack([loss.detach().float(), *(value.detach().float() for value in scalars.values())])
            if part.report is None:
                part.names, part.report = ("loss", *scalars), torch.empty_like(report)
            part.report.copy_(report)
            self._is_bad.copy_(torch.maximum(self._is_bad, (~torch.isfinite(report[0])).float()))

    def _differentiated(self, inputs: Inputs, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss, scalars = self._compute(self._model, inputs)
        self._fabric.backward(loss * weight)
        return loss, scalars

    def _update_work(self) -> None:
        norm = self._fabric.clip_gradients(
            self._model, self._optimizer, max_norm=self._max_norm, error_if_nonfinite=False
        )
        assert norm is not None
        self._norm.copy_(norm)
        self._is_bad.copy_(torch.maximum(self._is_bad, (~torch.isfinite(norm)).float()))
        self._optimizer.step()
        # The gradients keep their memory, which the graphs of the backward pass add to.
        self._optimizer.zero_grad(set_to_none=False)
        self._is_bad.zero_()
        if self._half is not None:
            self._half.refresh()


def _first_cause(error: BaseException) -> str:
    """The first line of the error that came first: ending a capture that an error has broken raises another one."""
    while error.__context__ is not None and not error.__suppress_context__:
        error = error.__context__
    return str(error).strip().partition("\n")[0]
