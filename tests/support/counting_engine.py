"""An engine that counts its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cavsync.deploy.runtime.engines import Engine, SeveralOutputs

Array = np.ndarray[Any, Any]


class CountingEngine:
    """Passes its inputs on; `num_inputs` is their number so far, `largest` that of the largest batch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.num_inputs = 0
        self.largest = 0

    def run(self, values: Array, output: str) -> Array:
        self.num_inputs += len(values)
        self.largest = max(self.largest, len(values))
        return self._engine.run(values, output)

    def run_all(self, values: Array, outputs: Sequence[str]) -> list[Array]:
        self.num_inputs += len(values)
        self.largest = max(self.largest, len(values))
        assert isinstance(self._engine, SeveralOutputs)
        return self._engine.run_all(values, outputs)
