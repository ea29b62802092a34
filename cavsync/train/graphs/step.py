"""A training step that waits for the device once, at its end."""

from __future__ import annotations

import logging
import math

import torch

from cavsync.train.graphs.engine import StepEngine
from cavsync.train.graphs.recorder import CudaRecorder, Recorder
from cavsync.train.step import Scalars, StepBatch, TrainingStep
from cavsync.train.tasks.task import Recordable

log = logging.getLogger(__name__)


def with_graphs(step: TrainingStep) -> TrainingStep | GraphedStep:
    """Return the step as CUDA graphs where the run has a GPU and wants them; else the step itself.

    A reason against them is logged.
    """
    if not step.config.cuda_graphs or step.fabric.device.type != "cuda":
        return step
    reason = reason_against(step)
    if reason:
        log.info("Steps run without CUDA graphs: %s", reason)
        return step
    return GraphedStep(step, CudaRecorder())


def reason_against(step: TrainingStep) -> str:
    """Why the steps of a run cannot be recorded, "" where they can."""
    if step.ranks.size > 1:
        return "several processes exchange embeddings and gradients within a step"
    if not isinstance(step.task, Recordable):
        return "only pretraining is written so that a step can be recorded"
    return step.task.reason_against_recording()


class GraphedStep:
    """Does what `TrainingStep.take` does, with forward, backward and update recorded after the first steps."""

    def __init__(self, step: TrainingStep, recorder: Recorder) -> None:
        assert isinstance(step.task, Recordable)
        self._step, self._task = step, step.task
        limit = step.config.clip_gradient_norm or math.inf
        self.engine = StepEngine(self._task.compute, step.fabric, step.model, step.optimizer, recorder, limit)

    def take(self, batch: StepBatch) -> Scalars:
        """Update the weights once; return the scalars of each used part. See `TrainingStep.take`."""
        step, used = self._step, batch.used_parts()
        if not used:
            return []
        weights = [batch.counts[step.ranks.rank][part] / sum(map(batch.num_pairs, used)) for part in used]
        done = [
            self.engine.part(self._task.inputs(batch.parts[part], step.fabric.device, step.draw(batch, part)), weight)
            for part, weight in zip(used, weights, strict=True)
        ]
        norm = self.engine.update()
        # Here the host waits for the device.
        numbers = torch.cat([*(values for _, values in done), norm[None]]).cpu()
        *rows, (norm_value,) = (row.tolist() for row in numbers.split([*(len(values) for _, values in done), 1]))
        for part, row in zip(used, rows, strict=True):
            step.require_finite("loss", math.isfinite(row[0]), batch.step, [batch.parts[part]])
        step.require_finite("gradient", math.isfinite(norm_value), batch.step, batch.parts)
        found = [dict(zip(names, row, strict=True)) for (names, _), row in zip(done, rows, strict=True)]
        return list(zip(found, weights, strict=True))
