"""The result of a sync test: tables by kind and source, and plots of errors, choices and calibration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import JsonValue

from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Plot, PlotCurve, Provenance, Table, Unit
from cavsync.evaluate.sync.measure import TWO_CHOICE_SHIFTS_MS, SyncTrials
from cavsync.evaluate.sync.metrics import ALL_KINDS, sync_metrics
from cavsync.evaluate.sync.offset_classes import NUM_CLASSES

HISTOGRAM_STEP_MS = 40.0
SHARES = {
    "within_one_frame": "≤ 1 frame",
    "within_100_ms": "≤ 100 ms",
    "within_200_ms": "≤ 200 ms",
    "undetermined": "undetermined",
    "decided_within_100_ms": "decided: ≤ 100 ms",
}


def sync_result(result: SyncTrials, protocol: dict[str, JsonValue], provenance: Provenance) -> EvalResult:
    """Make the result from the figures of `sync_metrics`: metrics `METHOD.NAME` over all clips, tables and plots."""
    report = sync_metrics(result)
    first = report["kinds"][ALL_KINDS]["methods"]
    groups = {"kind": report["kinds"], "source": report["sources"]}
    return EvalResult(
        task="sync",
        protocol=protocol,
        metrics=dict(_metrics(first)),
        provenance=provenance,
        tables=[table for by, kinds in groups.items() for table in _tables(by, kinds)],
        plots=_plots(result, first),
        rejects=result.rejects,
        notes=_notes(report),
        rows={name: report[name] for name in ("clips", "shifts_ms", "kinds", "sources")} | {"trials": _trials(result)},
    )


def _metrics(methods: dict[str, Any]) -> Iterator[tuple[str, Metric]]:
    for method, found in methods.items():
        name = method.replace(".", "_").replace(" ", "_")
        for key in SHARES:
            yield f"{name}.{key}", _share(found[key], "lower" if key == "undetermined" else "higher")
        for key in ("median_error", "p90_error"):
            yield f"{name}.{key}_ms", _error(found, key)
        for shift, share in found["two_choice"].items():
            yield f"{name}.two_choice_{shift}_ms", _share(share)
        for key, share in found["classes"].items():
            yield f"{name}.21_classes_{key}", _share(share)
        yield f"{name}.calibration_error", _calibration_error(found)


def _share(share: dict[str, Any], better: str = "higher", unit: Unit = "share") -> Metric:
    return Metric(
        value=share["mean"],
        low=share["low"],
        high=share["high"],
        unit=unit,
        better="lower" if better == "lower" else "higher",
        count=share["clips"],
    )


def _error(found: dict[str, Any], key: str) -> Metric:
    low, high = found[f"{key}_interval_ms"]
    return Metric(value=found[f"{key}_ms"], low=low, high=high, unit="ms", better="lower")


def _calibration_error(found: dict[str, Any]) -> Metric:
    calibration = found["calibration"]
    if calibration is None:
        return Metric(value=None, better="lower")
    return _share(calibration["expected_calibration_error"], "lower", "")


def _tables(by: str, groups: dict[str, Any]) -> Iterator[Table]:
    """Make two tables per group of clips, one of offsets, one of choices and classes, with a row per method."""
    for name, content in groups.items():
        title = f"{name}: {content['clips']} clips" if by == "kind" else f"source {name}: {content['clips']} clips"
        offsets: list[list[Cell]] = []
        choices: list[list[Cell]] = []
        for method, found in content["methods"].items():
            errors = [_error(found, key) for key in ("median_error", "p90_error")]
            offsets.append([method, *(_share(found[key]) for key in SHARES), *errors, _calibration_error(found)])
            classes = [_share(share) for share in found["classes"].values()]
            choices.append([method, *(_share(share) for share in found["two_choice"].values()), *classes])
        yield Table(
            title=f"{title}, injected offsets",
            columns=["", *SHARES.values(), "median error", "90th percentile", "ECE"],
            rows=offsets,
        )
        shifts = [f"{shift:.0f} ms" for shift in TWO_CHOICE_SHIFTS_MS]
        yield Table(
            title=f"{title}, two choices (chance 50 %) and {NUM_CLASSES} classes",
            columns=["", *shifts, "Acc@1", "±1 class"],
            rows=choices,
        )


def _plots(result: SyncTrials, methods: dict[str, Any]) -> list[Plot]:
    plots = [_cumulative(result, methods), _choices(methods)]
    for method, found in methods.items():
        errors = [
            trial.estimate_ms - trial.offset_ms
            for clip in result.clips
            for trial in clip.methods[method].trials
            if trial.estimate_ms is not None
        ]
        plots.append(_histogram(method, errors))
        if found["calibration"] is not None:
            plots.append(_reliability(method, found["calibration"]))
    return plots


def _cumulative(result: SyncTrials, methods: dict[str, Any]) -> Plot:
    limits = np.arange(0.0, 1001.0, 20.0)
    curves = []
    for method in methods:
        errors = np.array([trial.error_ms for clip in result.clips for trial in clip.methods[method].trials])
        shares = [float((errors <= limit).mean()) for limit in limits]
        curves.append(PlotCurve(label=method, x=limits.tolist(), y=list(shares)))
    return Plot(
        title="Injected offsets found",
        x_label="largest error, ms",
        y_label="share of injected offsets",
        curves=curves,
        y_range=(0.0, 1.0),
        x_range=(0.0, 1000.0),
    )


def _choices(methods: dict[str, Any]) -> Plot:
    curves = []
    for method, found in methods.items():
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


def _histogram(method: str, errors: list[float]) -> Plot:
    edges = np.arange(-1020.0, 1021.0, HISTOGRAM_STEP_MS)
    counts, _ = np.histogram(np.clip(errors, edges[0], edges[-1]), bins=edges)
    centres = (edges[:-1] + edges[1:]) / 2
    return Plot(
        title=f"Errors of {method} (larger errors in the outermost bars)",
        x_label="estimate minus truth, ms",
        y_label="trials",
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


def _notes(report: dict[str, Any]) -> list[str]:
    all_clips = report["kinds"][ALL_KINDS]
    # The number is the same for all methods, because only classes that all of them can search for count.
    tested = min(found["classes"]["accuracy"]["clips"] for found in all_clips["methods"].values())
    if tested == all_clips["clips"]:
        return []
    return [f"{tested} of {all_clips['clips']} clips are long enough for the {NUM_CLASSES} classes."]


def _trials(result: SyncTrials) -> list[JsonValue]:
    """Return every offset trial as JSON values."""
    return [
        {
            "clip": clip.name,
            "kind": clip.kind,
            "source": clip.source,
            "method": method,
            "offset_ms": trial.offset_ms,
            "estimate_ms": trial.estimate_ms,
            "decided": trial.decided,
            "confidence": trial.confidence,
        }
        for clip in result.clips
        for method, found in clip.methods.items()
        for trial in found.trials
    ]
