"""How long the whole picture is trained: in rounds, for as long as they pay.

In each round the learning rate falls to its end along the cosine. The first one has FIRST_STEPS, and each further one
makes the run half as long again. After a round the run measures its held-out clips. Training ends when a round has
lowered the loss on them by LEAST_GAIN or less, or when its time is over. All of this is read from the run's folder, so
that an interrupted training goes on in the round that it was in, and one that has ended is not begun again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.run import RunFolder

FIRST_STEPS = 2000
LEAST_GAIN = 0.01
"""A share of the loss. The loss, and not the share of the instants that are told apart: between the four runs of the
learning curve the latter did not follow what scoring finds (5.1, 4.9, 5.1 and 4.8 %), whereas the loss fell with every
one of them (3.73, 3.69, 3.67, 3.64; benchmarks/results/learning_curve.jsonl)."""


@dataclass(frozen=True)
class Round:
    """A whole round: the run's steps at its end, and the mean loss on held-out clips."""

    steps: int
    held_out_loss: float


@dataclass(frozen=True)
class Progress:
    """How far a run has come: steps, minutes of training in all its sessions, and whole rounds."""

    steps: int = 0
    minutes: float = 0.0
    rounds: tuple[Round, ...] = ()

    @classmethod
    def read(cls, run: Path) -> Progress:
        """Return the progress of the run in a folder, which may be absent."""
        folder = RunFolder(run)
        steps = folder.latest_step()
        if steps is None:
            return cls()
        state = json.loads(folder.checkpoint(steps).state.read_text(encoding="utf-8"))
        lines = folder.metrics_file.read_text(encoding="utf-8").splitlines() if folder.metrics_file.is_file() else []
        return cls(steps, state["elapsed_seconds"] / 60, whole_rounds(_records(lines), steps))

    def next_end(self) -> int | None:
        """Return at which step the next round ends, or the one that was interrupted; None when training should end."""
        if len(self.rounds) > 1 and not self.gain() > LEAST_GAIN:
            return None
        done = self.rounds[-1].steps if self.rounds else 0
        return next(end for end in round_ends() if end > done and end >= self.steps)

    def gain(self) -> float:
        """Return by which share of itself the last of at least two rounds lowered the loss; NaN if that is unknown."""
        before, after = (each.held_out_loss for each in self.rounds[-2:])
        return 1 - after / before

    def why_ended(self) -> str:
        """Return why training ended here, as a clause."""
        if self.next_end() is None:
            return f"the last round changed the loss on held-out clips by {-self.gain():+.1%}, which is not enough"
        if len(self.rounds) < 2:
            return "its time was over before there were two whole rounds to compare"
        return f"its time was over; the last whole round had changed the loss on held-out clips by {-self.gain():+.1%}"


def round_ends() -> Iterator[int]:
    """Yield the step at which each round ends."""
    end = FIRST_STEPS
    while True:
        yield end
        end += math.ceil(end / 2)


def whole_rounds(records: Iterable[Mapping[str, Any]], steps: int) -> tuple[Round, ...]:
    """Return the whole rounds of a run of so many steps, from its metrics; a round without a measurement is left out.

    A loss that was not finite counts as infinite.
    """
    measured = {record["step"]: record["held_out_loss"] for record in records if "held_out_loss" in record}
    found: list[Round] = []
    for end in round_ends():
        if end > steps:
            return tuple(found)
        if end in measured:
            found.append(Round(end, math.inf if measured[end] is None else float(measured[end])))
    raise AssertionError


def _records(lines: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the records of metrics.jsonl; its last line may be half written."""
    for number, line in enumerate(lines, start=1):
        try:
            yield json.loads(line)
        except ValueError:
            if number < len(lines):
                raise
