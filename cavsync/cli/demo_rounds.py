"""The rounds in which the demo trains, and how long they take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

# Training goes on, with half as many steps again, until the model decides this share of the held-out files.
DECIDED_SHARE = 0.95
MAX_HALVES = 6
"""Most steps, in halves of the number that was asked for."""
PACE_STEPS = 20
"""Steps after which the time of one is known; the first step, which is slower, is not counted."""


def rounds_left(steps: int, begun: int) -> list[int]:
    """Return the numbers of steps at which the rounds end that are not over after `begun` steps, the last one at least.

    A round that reached its last step is not over: the held-out files may not have been looked at.
    """
    ends = sorted({math.ceil(halves * steps / 2) for halves in range(2, MAX_HALVES + 1)})
    return [end for end in ends if end >= min(begun, ends[-1])]


@dataclass
class Pace:
    """How fast training goes: call `step` after each step and `end_round` after each round.

    `ends` are the steps at which the rounds to come end. `say` gets a sentence once the time of a step is known.
    """

    ends: list[int]
    say: Callable[[str], None]
    _done: int = 0
    _step_seconds: float | None = None
    _other_seconds: float = 0.0
    _marks: list[tuple[int, float]] = field(default_factory=list)
    _begin_seconds: float = field(default_factory=lambda: time.monotonic())

    def step(self, step: int) -> None:
        """Note that training has come to `step`."""
        self._marks = [*self._marks[:1], (step, time.monotonic())]
        if self._step_seconds is None and self._num_steps() >= PACE_STEPS:
            self._step_seconds = self._measured()
            if step < self.ends[0]:
                self.say(self._first_sentence(step))

    def end_round(self, run_step_seconds: float) -> None:
        """Note that a round is over, with the check of the held-out files.

        run_step_seconds: time of a step over the whole run, for a round of too few steps to tell.
        """
        now = time.monotonic()
        if self._num_steps() >= PACE_STEPS:
            self._step_seconds = self._measured()
        elif self._step_seconds is None:
            self._step_seconds = run_step_seconds
        # Every round decodes the clips and checks the held-out files.
        stepping_seconds = self._marks[-1][1] - self._marks[0][1] if self._marks else 0.0
        self._other_seconds = now - self._begin_seconds - stepping_seconds
        self._done, self.ends = self.ends[0], self.ends[1:]
        self._marks, self._begin_seconds = [], now

    def going_on(self) -> str:
        """Return a clause on how long the next round takes, and all that may follow."""
        assert self._step_seconds is not None, "end_round comes first"
        rounds = [
            (after - before) * self._step_seconds + self._other_seconds
            for before, after in pairwise([self._done, *self.ends])
        ]
        text = f"going on to {self.ends[0]} steps: about {minutes(rounds[0])} more at this speed"
        return text if len(rounds) == 1 else f"{text}, {minutes(sum(rounds))} if it takes all {self.ends[-1]}"

    def _num_steps(self) -> int:
        return self._marks[-1][0] - self._marks[0][0] if self._marks else 0

    def _measured(self) -> float:
        (first, begin_seconds), (last, end_seconds) = self._marks
        return (end_seconds - begin_seconds) / (last - first)

    def _first_sentence(self, step: int) -> str:
        assert self._step_seconds is not None
        near, far = (minutes((end - step) * self._step_seconds) for end in (self.ends[0], self.ends[-1]))
        text = f"about {near} more to step {self.ends[0]} at this speed"
        return text if len(self.ends) == 1 else f"{text}, {far} to step {self.ends[-1]} if it takes them all"


def minutes(seconds: float) -> str:
    """Return a time in whole minutes, at least one."""
    return f"{max(1, round(seconds / 60))} min"
