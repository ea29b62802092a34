"""Calibration of confidences: the reliability curve and the expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cavsync.errors import DataError

NUM_BINS = 10


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions with a confidence in (low, high]: their number, their mean confidence, and the share that is right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_curve(confidence: ArrayLike, right: ArrayLike, num_bins: int = NUM_BINS) -> list[ReliabilityBin]:
    """Bins of equal width that hold any decision (Guo et al., arXiv 1706.04599); confidence (n,) and right (n,).

    Raises DataError for confidences outside 0..1, or whose number differs from the outcomes'.
    """
    values, outcomes = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if values.shape != outcomes.shape or values.ndim != 1:
        raise DataError(f"{values.shape} confidences came with {outcomes.shape} outcomes: give as many of each.")
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError("A confidence is outside 0..1 or not a number: the bundle's calibration is damaged.")
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # The first bin includes its lower end, 0.
    places = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, num_bins - 1)
    return [
        ReliabilityBin(
            float(edges[place]),
            float(edges[place + 1]),
            int((places == place).sum()),
            float(values[places == place].mean()),
            float(outcomes[places == place].mean()),
        )
        for place in np.unique(places)
    ]


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Mean distance of confidence and accuracy, weighted by the bins' counts; None without decisions."""
    total = sum(part.count for part in bins)
    if not total:
        return None
    return sum(part.count * abs(part.confidence - part.accuracy) for part in bins) / total
