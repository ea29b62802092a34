"""The first cases of a test as images: the image, and the heat map over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.evaluate.localize.case import LocalizationCase
from cavsync.evaluate.localize.overlay import outline, overlay
from cavsync.evaluate.results.images import save_image, side_by_side
from cavsync.evaluate.results.result import Picture


@dataclass
class LocalizationExamples:
    """Writes the first `limit` cases to `folder`, each as its image next to the heat map with the object outlined."""

    folder: Path
    limit: int
    written: list[Picture] = field(default_factory=list)

    def __call__(self, case: LocalizationCase, heat: NDArray[np.float32]) -> None:
        """Write one case, if fewer than `limit` are written."""
        if len(self.written) >= self.limit:
            return
        overlaid = overlay(case.shown, heat, float(heat.min()), float(heat.max()))
        name = f"{len(self.written):04d}.png"
        save_image(side_by_side([case.shown, outline(overlaid, case.mask)]), self.folder / name)
        self.written.append(Picture(title=f"{case.name}: {case.category}", file=name))
