"""What a run reports: JSON lines for programs, TensorBoard events for people."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

METRICS_NAME = "metrics.jsonl"


class MetricsLog:
    """Appends to RUN/metrics.jsonl and to RUN/tensorboard; use as a context manager."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._lines = (run_dir / METRICS_NAME).open("a", encoding="utf-8", buffering=1)
        self._events = SummaryWriter(run_dir / "tensorboard")

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._events.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record the values of one step; a value that is not finite becomes null."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
