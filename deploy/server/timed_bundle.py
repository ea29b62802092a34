"""A bundle whose encoders say how long each call took."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.engines import Engine
from cavsync.deploy.metrics import SyncMetrics


@dataclass(frozen=True)
class TimedEngine:
    """An engine whose calls are observed by `metrics`."""

    engine: Engine
    metrics: SyncMetrics

    def run(self, values: NDArray[Any], output: str) -> NDArray[np.float32]:
        """As the engine's own."""
        with self.metrics.inference_timer():
            return self.engine.run(values, output)


def timed_bundle(bundle: Bundle, metrics: SyncMetrics) -> Bundle:
    """The same bundle with both encoders observed."""
    return replace(bundle, audio=TimedEngine(bundle.audio, metrics), visual=TimedEngine(bundle.visual, metrics))
