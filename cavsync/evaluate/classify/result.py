"""The result of classification: figures per mode and per class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from cavsync.evaluate.classify.class_intervals import class_intervals
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.evaluate.classify.measure import ClassificationScores
from cavsync.evaluate.classify.metrics import ClassScores, class_scores, top_k_credit
from cavsync.evaluate.inputs.encoders import has_chained_blocks
from cavsync.evaluate.inputs.eval_clips import EvalClips, channels_in_words, segments_in_words
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.provenance import provenance
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Plot, PlotCurve, Table, Unit
from cavsync.model.classifier import Mode

SHOWN_CLASSES = 10
TOP_K = 5
NAMES = {
    "map": "mAP",
    "auc": "AUC",
    "d_prime": "d'",
    "accuracy": "accuracy",
    "class_accuracy": "mean class accuracy",
    "top_5_accuracy": "top-5 accuracy",
}


def classify_result(
    classifier: OpenClassifier,
    found: ClassificationScores,
    clips: EvalClips,
    *,
    device: str = "cpu",
) -> EvalResult:
    """Make the result: metrics `map`, `auc`, `d_prime`, and for single-label data `accuracy`, `class_accuracy` and
    `top_5_accuracy`; with several modes their names begin with the mode, as in `missing-visual/map`.
    """
    by_class = {mode: class_scores(scores, found.targets) for mode, scores in found.scores.items()}
    by_mode = {mode: _metrics(found, mode, by_class[mode]) for mode in found.scores}
    alone = len(by_mode) == 1
    return EvalResult(
        task="classify",
        protocol={
            "target": found.target,
            "modes": list(by_mode),
            "frames": clips.frames,
            "segments": segments_in_words(clips.segments, clips.frames),
            "channels": channels_in_words(clips.source.channels),
            "joint_blocks_chained": has_chained_blocks(classifier.model.config.model_dump()),
            "selection": clips.selection,
            "ignore_other_labels": found.ignore_other_labels,
            "aggregation": "evenly spread frames together, by the head"
            if classifier.model.takes_clips
            else "mean of the probabilities of evenly spread frames",
            "labels_sha256": found.labels_sha256,
            "classes": len(classifier.labels),
            "class_labels": list(classifier.labels.display_names),
            "head": classifier.model.head,
            "trained_mode": classifier.mode,
        },
        metrics={
            (name if alone else f"{mode}/{name}"): metric
            for mode, metrics in by_mode.items()
            for name, metric in metrics.items()
        },
        provenance=provenance(models=[classifier.id], data=[clips.data], device=device),
        tables=[_mode_table(by_mode, len(found.names)), *(_class_table(classifier, m, s) for m, s in by_class.items())],
        plots=[_plot(by_class)],
        rejects=found.rejects,
        notes=_notes(by_class),
        rows={
            "classes": {mode: _rows(classifier, scores) for mode, scores in by_class.items()},
            "clips": _clips(classifier, found),
        },
    )


def _metrics(found: ClassificationScores, mode: Mode, scores: ClassScores) -> dict[str, Metric]:
    count = len(found.names)
    credit = _first_choice_credit(found, mode)
    intervals = class_intervals(found.scores[mode], found.targets, credit)

    def metric(name: str, value: float | None, unit: Unit = "share") -> Metric:
        low, high = intervals[name] if value is not None and count > 1 else (None, None)
        return Metric(value=value, low=low, high=high, unit=unit, count=count)

    metrics = {
        "map": metric("map", scores.mean_average_precision),
        "auc": metric("auc", scores.mean_auc),
        "d_prime": metric("d_prime", scores.d_prime, ""),
    }
    if credit is not None:
        classes = found.targets.argmax(axis=1)
        metrics["accuracy"] = _share(credit)
        per_class = [float(credit[classes == label].mean()) for label in np.unique(classes)]
        metrics["class_accuracy"] = metric("class_accuracy", float(np.mean(per_class)))
        if found.targets.shape[1] > TOP_K:
            metrics[f"top_{TOP_K}_accuracy"] = _share(top_k_credit(found.scores[mode], classes, TOP_K))
    return metrics


def _first_choice_credit(found: ClassificationScores, mode: Mode) -> NDArray[np.float64] | None:
    """Return the probability that each clip's first choice is right, for single-label data; else None."""
    if found.target != "single-label":
        return None
    return top_k_credit(found.scores[mode], found.targets.argmax(axis=1))


def _share(values: Any) -> Metric:
    share = share_of_clips(values)
    return Metric(value=share.mean, low=share.low, high=share.high, unit="share", count=share.clips)


def _mode_table(by_mode: dict[Mode, dict[str, Metric]], count: int) -> Table:
    names = list(next(iter(by_mode.values())))
    rows: list[list[Cell]] = [[mode, *(metrics[name] for name in names)] for mode, metrics in by_mode.items()]
    return Table(title=f"{count} clips", columns=["mode", *(NAMES[name] for name in names)], rows=rows)


def _class_table(classifier: OpenClassifier, mode: Mode, scores: ClassScores) -> Table:
    """Make the table of all classes by AP, or of the best and the worst if there are many."""
    order = [int(c) for c in np.argsort(-scores.average_precision) if scores.positives[c]]
    chosen = order if len(order) <= 2 * SHOWN_CLASSES else [*order[:SHOWN_CLASSES], *order[-SHOWN_CLASSES:]]
    title = f"{mode}: classes by AP" if chosen == order else f"{mode}: the {SHOWN_CLASSES} best and worst classes"
    rows: list[list[Cell]] = [
        [
            classifier.labels.display_names[c],
            int(scores.positives[c]),
            Metric(value=float(scores.average_precision[c]), unit="share"),
            Metric(value=_number(scores.auc[c]), unit="share"),
        ]
        for c in chosen
    ]
    return Table(title=title, columns=["class", "clips", "AP", "AUC"], rows=rows)


def _plot(by_class: dict[Mode, ClassScores]) -> Plot:
    curves = []
    for mode, scores in by_class.items():
        values = np.sort(scores.average_precision[~np.isnan(scores.average_precision)])[::-1]
        curves.append(
            PlotCurve(label=mode, x=[float(x) for x in range(1, len(values) + 1)], y=[float(y) for y in values])
        )
    return Plot(
        title="Average precision of the classes, best first",
        x_label="class",
        y_label="AP",
        curves=curves,
        y_range=(0, 1),
    )


def _rows(classifier: OpenClassifier, scores: ClassScores) -> Any:
    return {
        name: {
            "average_precision": _number(scores.average_precision[c]),
            "auc": _number(scores.auc[c]),
            "clips": int(scores.positives[c]),
        }
        for c, name in enumerate(classifier.labels.display_names)
    }


def _clips(classifier: OpenClassifier, found: ClassificationScores) -> list[JsonValue]:
    """Return the classes of every clip, and by mode its first choice, that choice's probability and whether it is
    right."""
    names = classifier.labels.display_names
    clips: list[dict[str, Any]] = [
        {"name": name, "classes": [names[label] for label in np.flatnonzero(wanted)]}
        for name, wanted in zip(found.names, found.targets, strict=True)
    ]
    for mode, scores in found.scores.items():
        credit = _first_choice_credit(found, mode)
        for number, (clip, chosen) in enumerate(zip(clips, scores.argmax(axis=1), strict=True)):
            clip[mode] = {"first": names[chosen], "probability": float(scores[number, chosen])}
            if credit is not None:
                clip[mode]["right"] = float(credit[number])
    return [*clips]


def _notes(by_class: dict[Mode, ClassScores]) -> list[str]:
    scores = next(iter(by_class.values()))
    empty, notes = int((scores.positives == 0).sum()), []
    if empty:
        notes.append(f"{empty} of {len(scores.positives)} classes have no clip and are left out of all means.")
    if any(each.d_prime is None for each in by_class.values()):
        notes.append("d' is missing for a mean AUC of 0 or 1, or an undefined one.")
    return notes


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
