"""The result of localisation: class means and success ratios of the model and its baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import JsonValue

from cavsync.evaluate.inputs.eval_clips import channels_in_words
from cavsync.evaluate.localize.case import TARGET_SIZE, LocalizationSet
from cavsync.evaluate.localize.measure import CENTRE, METHODS, MODEL, OTHER_AUDIO, RANDOM, LocalizationScores
from cavsync.evaluate.localize.metrics import (
    CIOU_SUCCESS,
    IOU_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    success_auc,
    success_ratios,
)
from cavsync.evaluate.results.intervals import share_of_clips
from cavsync.evaluate.results.result import Cell, EvalResult, Metric, Picture, Plot, PlotCurve, Provenance, Table

# Names of the methods in metrics and rows.
NAMES = {MODEL: "model", OTHER_AUDIO: "other_sound", CENTRE: "centre", RANDOM: "random"}


def localize_result(
    scores: LocalizationScores,
    data: LocalizationSet,
    provenance: Provenance,
    *,
    joint_blocks_chained: bool,
    pictures: list[Picture] | None = None,
) -> EvalResult:
    """Make the result: metrics `METHOD/mAP`, `mIoU`, `cIoU_0.5`, `AUC`; a table of the methods and one of the classes;
    a plot of the success ratios. joint_blocks_chained: of the encoder. pictures: the examples that were written."""
    metrics = {
        f"{NAMES[method]}/{name}": value for method in METHODS for name, value in _metrics(scores, method).items()
    }
    return EvalResult(
        task="localize",
        protocol=_protocol(data) | {"joint_blocks_chained": joint_blocks_chained},
        metrics=metrics,
        provenance=provenance,
        tables=[_method_table(scores, data), _class_table(scores)],
        plots=[_plot(scores)],
        pictures=pictures or [],
        rejects=scores.rejects,
        notes=_notes(scores),
        rows={"pictures": _rows(scores)},
    )


def _metrics(scores: LocalizationScores, method: str) -> dict[str, Metric]:
    cious = [found[method] for found in scores.ciou.values()]
    return {
        "mAP": _class_mean(scores.average_precision, method),
        "mIoU": _class_mean(scores.iou, method),
        "cIoU_0.5": _image_mean([float(value >= CIOU_SUCCESS) for value in cious]),
        # The area under the share of images equals the mean of the images' own areas.
        "AUC": _image_mean([success_auc([value]) for value in cious]),
    }


def _image_mean(values: list[float]) -> Metric:
    found = share_of_clips(values)
    return Metric(value=found.mean, low=found.low, high=found.high, unit="share", count=found.clips)


def _class_mean(values: dict[str, dict[str, float]], method: str) -> Metric:
    found = [value[method] for value in values.values()]
    return Metric(value=float(np.mean(found)) if found else None, unit="share", count=len(found))


def _protocol(data: LocalizationSet) -> dict[str, Any]:
    return {
        "data set": data.name,
        **data.protocol,
        "channels": channels_in_words(data.channels),
        "heat map": "cosine between the pooled audio and each visual patch, bilinear to the target's size",
        "target size": TARGET_SIZE,
        "mAP": "average precision over all pixels of all images of a class, mean over classes (ADE20K_Sound)",
        "mIoU": f"best IoU over {IOU_THRESHOLDS} equally spaced thresholds per class, mean over classes (ADE20K_Sound)",
        "cIoU_0.5": "share of images whose hotter half has a cIoU of at least 0.5 (VGG-SS, Flickr-SoundNet)",
        "AUC": "area under that share over thresholds 0, 0.05, ... 1",
    }


def _rows(scores: LocalizationScores) -> list[JsonValue]:
    """Return the cases in order, with the cIoU of each method; empty for a case without an object."""
    return [
        {
            "name": name,
            "class": category,
            "ciou": {NAMES[method]: value for method, value in scores.ciou.get(number, {}).items()},
        }
        for number, (name, category) in enumerate(scores.cases)
    ]


def _method_table(scores: LocalizationScores, data: LocalizationSet) -> Table:
    number = sum(scores.images.values())
    rows: list[list[Cell]] = [[method, *_metrics(scores, method).values()] for method in METHODS]
    title = f"{data.name}: {number} images, {len(scores.images)} classes"
    return Table(title=title, columns=["", "mAP", "mIoU", "cIoU@0.5", "AUC"], rows=rows)


def _class_table(scores: LocalizationScores) -> Table:
    rows: list[list[Cell]] = []
    for category, found in scores.average_precision.items():
        share = Metric(value=scores.object_share[category], unit="share")
        values = [found[MODEL], scores.iou[category][MODEL]]
        rows.append([category, scores.images[category], share, *(Metric(value=v, unit="share") for v in values)])
    columns = ["class", "images", "object's share of the pixels", "AP", "IoU"]
    return Table(title="the model, by class", columns=columns, rows=rows)


def _plot(scores: LocalizationScores) -> Plot:
    curves = []
    for method in METHODS if scores.ciou else ():
        ratios = success_ratios([found[method] for found in scores.ciou.values()])
        curves.append(PlotCurve(label=method, x=list(SUCCESS_THRESHOLDS), y=ratios.tolist()))
    return Plot(
        title="Success ratio", x_label="cIoU at least", y_label="share of images", curves=curves,
        x_range=(0.0, 1.0), y_range=(0.0, 1.0),
    )  # fmt: skip


def _notes(scores: LocalizationScores) -> list[str]:
    without = sum(scores.images.values()) - len(scores.ciou)
    notes = []
    if scores.without_object:
        names = ", ".join(scores.without_object)
        notes.append(f"The means leave out these classes, which have no pixel of their object: {names}.")
    if without:
        notes.append(f"{without} images show no pixel of the object; they have no cIoU and count as background.")
    return notes
