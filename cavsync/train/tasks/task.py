"""The interface of a training task: the part of training in which kinds of training differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from cavsync.model import CAVMAESync
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.face_sync import FaceSync
from cavsync.model.masking import BatchPlace
from cavsync.train.ranks import Ranks
from cavsync.train.teacher import Teacher

Model = CAVMAESync | CAVMAEFT | FaceSync


class Draw(NamedTuple):
    """The inputs of a loss's random draws and schedules; generator and place as for `CAVMAESync.forward`.

    progress in [0, 1] is the share of the run that is over.
    """

    generator: torch.Generator
    place: BatchPlace | None = None
    progress: float = 1.0


class Task(Protocol):
    """One kind of training."""

    held_out: ClassVar[Mapping[str, str]]
    """Names of the held-out metrics that are means of pairs, each with the scalar of `loss` that it averages."""

    @property
    def metric(self) -> str:
        """The held-out metric that is higher for a better model."""
        return "held_out_accuracy"

    def build(self) -> Model:
        """Make the model with random weights."""
        ...

    def initialise(self, model: Any) -> dict[str, str]:
        """Load the weights that a new run starts from, if the configuration names any; return what was done to its
        position tables to make them fit (see `fit_positions`)."""
        ...

    def prepare(self, model: Any) -> None:
        """Freeze what is not trained, in a new or a resumed run."""
        ...

    def make_teacher(self, model: Any, fabric: Fabric) -> Teacher | None:
        """Make the moving average of the model that the task learns from and checkpoints keep, if it has one. Called
        once, by all processes, when the model has its first weights and is on its devices."""
        del model, fabric
        return None

    def revise(self, model: Any, step: int, num_steps: int, ranks: Ranks) -> bool:
        """Change the data before step `step` (from 0) where the task does that; return whether batches must be loaded
        again. Called by all processes."""
        ...

    def loss(self, model: Any, batch: Any, device: torch.device, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch (a scalar), and scalars to report."""
        ...

    def measure(self, model: Any, batch: Any, device: torch.device, draw: Draw) -> tuple[dict[str, float], Any]:
        """Return the scalars of `loss` for a held-out batch, and what `over_clips` needs of it."""
        return self.loss(model, batch, device, draw)[1], None

    def over_clips(self, parts: Sequence[Any]) -> dict[str, float]:
        """Return the held-out metrics that are no means, from all batches of all processes."""
        del parts
        return {}


@runtime_checkable
class Recordable(Protocol):
    """A task that is written so that its steps can be recorded as CUDA graphs."""

    def reason_against_recording(self) -> str:
        """Why the steps of this run cannot be recorded; "" where `inputs` and `compute` do what `Task.loss` does."""
        ...

    def inputs(self, batch: Any, device: torch.device, draw: Draw) -> dict[str, Tensor]:
        """Return the tensors, on `device`, that `compute` needs of a batch; all that is drawn is among them."""
        ...

    def compute(self, model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (a scalar) and the scalars of `Task.loss`, on the device, without waiting for it."""
        ...
