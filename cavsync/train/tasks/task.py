"""What a run learns: the part of training that pretraining and classification do not share."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from cavsync.data.batches import PairBatch
from cavsync.model import CAVMAESync
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.masking import BatchPlace

Model = CAVMAESync | CAVMAEFT


class Task(Protocol):
    """One kind of training."""

    @property
    def held_out(self) -> dict[str, str]:
        """What a run says of its held-out clips, and which scalar of `loss` that is."""
        ...

    def build(self) -> Model:
        """The model with fresh weights."""
        ...

    def initialise(self, model: Any) -> None:
        """Put in the weights that a new run starts from, where the configuration names some."""
        ...

    def prepare(self, model: Any) -> None:
        """Settle what is trained, in a new run and in one that goes on."""
        ...

    def loss(
        self,
        model: Any,
        batch: PairBatch,
        device: torch.device,
        generator: torch.Generator,
        place: BatchPlace | None = None,
        progress: float = 1.0,
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss of a batch (a scalar), and what to report of it.

        progress in [0, 1] says how much of the run is over; generator and place as for `CAVMAESync.forward`.
        """
        ...
