"""Communication between the processes of a run other than gradients: a few numbers per step, over the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Ranks:
    """This process among all processes of the run. Every method is called by all of them, in the same order.

    It uses a gloo group of its own, so that it never waits for an accelerator's queue.
    """

    rank: int = 0
    size: int = 1
    group: Any = None

    @classmethod
    def current(cls) -> Ranks:
        """Make it from the initialised process group; without one, for a single process."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend="gloo"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def gather(self, values: list[float]) -> list[list[float]]:
        """Return the values of every process, in the order of ranks; each must give the same number of them."""
        if self.size == 1:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64)
        found = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(found, mine, group=self.group)
        return [tensor.tolist() for tensor in found]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return any(value[0] for value in self.gather([float(flag)]))

    def gather_objects(self, value: Any) -> list[Any]:
        """Return a picklable value of every process, in the order of ranks."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def from_main(self, value: Any) -> Any:
        """Return the main process's value."""
        return self.gather_objects(value)[0]
