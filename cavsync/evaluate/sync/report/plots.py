"""The plots of a sync test: errors, two choices, reliability, and the confidences with another clip's sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from cavsync.evaluate.results.result import Plot, PlotCurve
from cavsync.evaluate.sync.judges import error_ms
from cavsync.evaluate.sync.measure import SyncTrials
from cavsync.evaluate.sync.report.metrics import corrected_error_ms
from cavsync.evaluate.sync.two_choices import TWO_CHOICE_SHIFTS_MS

HISTOGRAM_STEP_MS = 40.0


def sync_plots(result: SyncTrials, figures: dict[str, Any], control: dict[str, Any]) -> list[Plot]:
    """Return the plots of all clips. figures: by method, over all offsets; control: `wrong_sound_figures`."""
    plots = [_cumulative(result, list(figures)), _choices(figures)]
    for method, found in figures.items():
        plots.append(_histogram(result, method))
        if found["calibration"] is not None:
            plots.append(_reliability(method, found["calibration"]))
    if control:
        plots.append(_confidences(result, control))
    return plots


def _cumulative(result: SyncTrials, methods: list[str]) -> Plot:
    limits = np.arange(0.0, 1001.0, 20.0)
    curves = []
    for method in methods:
        trials = [trial for clip in result.clips for trial in clip.trials[method] if trial.answer.has_face]
        errors = np.array([corrected_error_ms(trial) for trial in trials])
        shares = [float((errors <= limit).mean()) if len(errors) else None for limit in limits]
        curves.append(PlotCurve(label=method, x=limits.tolist(), y=shares))
    return Plot(
        title="Offsets found",
        x_label="largest error, ms",
        y_label="share of files",
        curves=curves,
        y_range=(0.0, 1.0),
        x_range=(0.0, 1000.0),
    )


def _choices(figures: dict[str, Any]) -> Plot:
    curves = []
    for method, found in figures.items():
        shares = list(found["two_choice"].values())
        curves.append(
            PlotCurve(
                label=method,
                x=list(TWO_CHOICE_SHIFTS_MS),
                y=[share["mean"] for share in shares],
                low=[share["low"] for share in shares],
                high=[share["high"] for share in shares],
            )
        )
    return Plot(
        title="Two choices: in sync or shifted (dashed: chance)",
        x_label="shift, ms",
        y_label="share of right choices",
        curves=curves,
        y_range=(0.0, 1.0),
        reference=((TWO_CHOICE_SHIFTS_MS[0], 0.5), (TWO_CHOICE_SHIFTS_MS[-1], 0.5)),
    )


def _histogram(result: SyncTrials, method: str) -> Plot:
    errors = [error_ms(trial.answer, trial.offset_ms) for clip in result.clips for trial in clip.trials[method]]
    known = [error for error in errors if np.isfinite(error)]
    edges = np.arange(-1020.0, 1021.0, HISTOGRAM_STEP_MS)
    counts, _ = np.histogram(np.clip(known, edges[0], edges[-1]), bins=edges)
    centres = (edges[:-1] + edges[1:]) / 2
    return Plot(
        title=f"Errors of {method} (larger errors in the outermost bars)",
        x_label="estimate minus truth, ms",
        y_label="files",
        curves=[PlotCurve(label=method, x=centres.tolist(), y=[float(count) for count in counts])],
        bars=True,
    )


def _reliability(method: str, calibration: dict[str, Any]) -> Plot:
    bins = calibration["bins"]
    return Plot(
        title=f"Confidence of {method} (dashed: perfect)",
        x_label="confidence",
        y_label=f"share within {calibration['tolerance_ms']:.0f} ms",
        curves=[PlotCurve(label=method, x=[b["confidence"] for b in bins], y=[b["accuracy"] for b in bins])],
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        reference=((0.0, 0.0), (1.0, 1.0)),
    )


def _confidences(result: SyncTrials, control: dict[str, Any]) -> Plot:
    """Plot, with the clips' own sound and with another clip's, the share of files by least confidence."""
    levels = np.linspace(0.0, 1.0, 51)
    curves = []
    for method, found in control.items():
        own = [trial.answer.confidence for clip in result.clips for trial in clip.trials[method]]
        for words, values in (("own sound", own), ("another clip's", found["confidences"])):
            known = np.array([value for value in values if value is not None], dtype=np.float64)
            shares = [float((known >= level).mean()) if len(known) else None for level in levels]
            curves.append(PlotCurve(label=f"{method}: {words}", x=levels.tolist(), y=shares))
    return Plot(
        title="Confidence with the clips' own sound and with another clip's",
        x_label="least confidence",
        y_label="share of files with a confidence",
        curves=curves,
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )
