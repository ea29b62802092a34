"""Metrics of a run: JSON lines for programs, TensorBoard events for people."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from cavsync.atomic import write_text_atomically
from cavsync.run import RunFolder


class MetricsLog:
    """Appends to RUN/metrics.jsonl and to RUN/tensorboard; use as a context manager.

    Lines of an interrupted session after `step`, where this one resumes, are removed: those steps are logged again.
    """

    def __init__(self, folder: RunFolder, step: int = 0) -> None:
        path = folder.metrics_file
        if path.exists():
            _remove_later(path, step)
        self._lines = path.open("a", encoding="utf-8", buffering=1)
        self._events = SummaryWriter(folder.tensorboard, purge_step=step + 1 if step else None)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._events.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log the values of one step; a value that is not finite becomes null."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._lines.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in values.items():
            self._events.add_scalar(name, value, step)


def _remove_later(path: Path, step: int) -> None:
    """Keep the lines of steps up to `step`, without a last line that a kill cut short."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            break
    write_text_atomically(path, "".join(kept))
