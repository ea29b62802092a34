"""Metrics and cells of tables from the figures of a sync test."""

from __future__ import annotations

from typing import Any

from cavsync.evaluate.results.result import Better, Metric, Unit


def share(figure: dict[str, Any], better: Better = "higher", unit: Unit = "share") -> Metric:
    """Return a figure with its interval and number of trials as a metric."""
    return Metric(
        value=figure["mean"], low=figure["low"], high=figure["high"], unit=unit, better=better, count=figure["clips"]
    )


def milliseconds(figure: dict[str, Any]) -> Metric:
    """Return an error or a movement as a metric, of which less is better."""
    return share(figure, "lower", "ms")


def calibration_error(figures: dict[str, Any]) -> Metric:
    """Return the ECE of a method; unknown where it has no confidences."""
    calibration = figures["calibration"]
    if calibration is None:
        return Metric(value=None, better="lower")
    return share(calibration["expected_calibration_error"], "lower", "")
