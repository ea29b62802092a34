"""Figures, metrics and tables of what papers on generated sound and video report, labelled with what measured them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import JsonValue

from cavsync.evaluate.results.group_intervals import share_of_groups, statistic_of_groups
from cavsync.evaluate.results.intervals import Share
from cavsync.evaluate.results.result import Better, Metric, Table, Unit
from cavsync.evaluate.sync.generation.av_align import Peaks, shuffled_ious
from cavsync.evaluate.sync.generation.measures import Generation
from cavsync.evaluate.sync.measure import ClipResult, SyncTrials
from cavsync.evaluate.sync.report.cells import share

AV_ALIGN = "AV-Align"
# Name of the figure -> its heading, what is better, its unit.
LSE: dict[str, tuple[str, Better, Unit]] = {
    "lse_d": ("LSE-D", "lower", ""),
    "lse_c": ("LSE-C", "higher", ""),
    "lse_no_face": ("no face", "", "share"),
    "lse_no_evidence": ("no evidence", "lower", "share"),
}
JAVIS: dict[str, tuple[str, Better, Unit]] = {
    "javis_score": ("JavisScore", "higher", ""),
    "javis_no_evidence": ("no evidence", "lower", "share"),
    "avh_score": ("AVHScore", "higher", ""),
    "avh_no_evidence": ("no evidence", "lower", "share"),
}
ALIGN: dict[str, tuple[str, Better, Unit]] = {
    "av_align": ("IoU", "higher", ""),
    "av_align_shuffled": ("other clips' sounds", "", ""),
    "av_align_above_shuffled": ("difference", "higher", ""),
    "av_align_no_evidence": ("no evidence", "lower", "share"),
}
TITLES = (
    (LSE, "LSE style: distance of lips and sound over ±15 frames, by the face path of"),
    (JAVIS, "JavisScore style: frames and the sound of 2 s, and AVHScore style: of the whole clip, by the picture of"),
    (ALIGN, "AV-Align: onsets of sound and peaks of motion that coincide, measured without a model"),
)
Figures = dict[str, Any]


def generation_figures(result: SyncTrials) -> Figures:
    """Return by bundle, and for AV-Align under its own name, the figures of `LSE`, `JAVIS` and `ALIGN`: means with
    intervals over groups of the clips with evidence, and the shares of the clips without."""
    clips = [clip for clip in result.clips if clip.generation is not None]
    groups = np.array([clip.case.group for clip in clips], dtype=np.str_)
    found: Figures = {}
    for method in dict.fromkeys(name for clip in clips for name in (*_of(clip).lips, *_of(clip).windows)):
        found[method] = {}
        if all(method in _of(clip).lips for clip in clips):
            found[method] |= _lse(clips, method, groups)
        if all(method in _of(clip).windows for clip in clips):
            found[method] |= _javis(clips, method, groups)
    peaks = [peaks for clip in clips if (peaks := _of(clip).peaks) is not None]
    return found | ({AV_ALIGN: _align(peaks, groups, result.seed)} if peaks else {})


def generation_metrics(figures: Figures) -> Iterator[tuple[str, str, Metric]]:
    """Yield method, name and metric."""
    for method, found in figures.items():
        for names, _ in TITLES:
            for name in (name for name in names if name in found):
                yield method, name, share(found[name], *names[name][1:])


def generation_tables(figures: Figures) -> Iterator[Table]:
    """Yield a table per kind of figure that was measured."""
    for names, title in TITLES:
        methods = {method: found for method, found in figures.items() if names.keys() <= found.keys()}
        if methods:
            yield Table(
                title=title,
                columns=["", "clips", *(heading for heading, _, _ in names.values())],
                rows=[
                    [
                        method,
                        found[next(iter(names))]["clips"],
                        *(share(found[name], *names[name][1:]) for name in names),
                    ]
                    for method, found in methods.items()
                ],
            )


def generation_rows(clip: ClipResult) -> Iterator[dict[str, JsonValue]]:
    """Yield what was measured of a clip; None where there is no evidence."""
    if clip.generation is None:
        return
    for method, lips in clip.generation.lips.items():
        values: dict[str, JsonValue] = {"lse_d": lips.distance, "lse_c": lips.confidence, "has_face": lips.has_face}
        yield {"method": method, "test": "LSE", **values}
    for method, score in clip.generation.windows.items():
        values = {"javis_score": score.lowest, "avh_score": score.overall}
        yield {"method": method, "test": "JavisScore", **values}
    if (peaks := clip.generation.peaks) is not None:
        numbers: dict[str, JsonValue] = {"onsets": len(peaks.onsets_seconds), "motion": len(peaks.motion_seconds)}
        yield {"method": AV_ALIGN, "test": AV_ALIGN, "av_align": peaks.iou, **numbers}


def _of(clip: ClipResult) -> Generation:
    assert clip.generation is not None
    return clip.generation


def _lse(clips: Sequence[ClipResult], method: str, groups: Any) -> dict[str, Any]:
    found = [_of(clip).lips[method] for clip in clips]
    seen = [one.has_face for one in found]
    lacks = [None if not one.has_face else float(one.distance is None) for one in found]
    return {
        "lse_d": _mean([one.distance for one in found], groups),
        "lse_c": _mean([one.confidence for one in found], groups),
        "lse_no_face": _share([float(not one) for one in seen], groups),
        "lse_no_evidence": _share(lacks, groups),
    }


def _javis(clips: Sequence[ClipResult], method: str, groups: Any) -> dict[str, Any]:
    found = [_of(clip).windows[method] for clip in clips]
    return {
        "javis_score": _mean([one.lowest for one in found], groups),
        "javis_no_evidence": _share([float(one.lowest is None) for one in found], groups),
        "avh_score": _mean([one.overall for one in found], groups),
        "avh_no_evidence": _share([float(one.overall is None) for one in found], groups),
    }


def _align(peaks: Sequence[Peaks], groups: Any, seed: int) -> dict[str, Any]:
    own = [one.iou for one in peaks]
    shuffled = shuffled_ious(peaks, [*map(str, groups)], seed)
    above = [a - b if a is not None and b is not None else None for a, b in zip(own, shuffled, strict=True)]
    return {
        "av_align": _mean(own, groups),
        "av_align_shuffled": _mean(shuffled, groups),
        "av_align_above_shuffled": _mean(above, groups),
        "av_align_no_evidence": _share([float(one is None) for one in own], groups),
    }


def _share(values: Sequence[float | None], groups: Any) -> dict[str, Any]:
    return asdict(share_of_groups(np.array(values, dtype=np.float64), groups))


def _mean(values: Sequence[float | None], groups: Any) -> dict[str, Any]:
    numbers = np.array(values, dtype=np.float64)
    if np.isnan(numbers).all():
        return asdict(Share(None, None, None, 0))
    return asdict(statistic_of_groups(numbers, groups, lambda found: float(found.mean())))
