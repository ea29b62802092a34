"""What a sync test says: shares with intervals, by kind of clip and over all, as plain JSON values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from cavsync.evaluate.intervals import share_of_clips
from cavsync.evaluate.sync import TOLERANCE_MS, TWO_CHOICE_SHIFTS_MS, Answers, ClipResult, OffsetTrial, SyncResult

ALL_KINDS = "all"


def sync_report(result: SyncResult) -> dict[str, Any]:
    """`clips`, `rejects`, and per kind (and "all") and method the shares of `within_one_frame` and `within_100_ms` of
    the injected offsets, `median_error_ms`, the share `decided` and of those `decided_within_100_ms`, and
    `two_choice` by shift."""
    kinds = sorted({clip.kind for clip in result.clips})
    groups = {ALL_KINDS: result.clips} | {kind: [c for c in result.clips if c.kind == kind] for kind in kinds}
    methods = list(result.clips[0].methods) if result.clips else []
    return {
        "clips": len(result.clips),
        "rejects": result.rejects,
        "shifts_ms": list(TWO_CHOICE_SHIFTS_MS),
        "kinds": {
            kind: {"clips": len(clips), "methods": {name: _of_method(clips, name) for name in methods}}
            for kind, clips in groups.items()
        },
    }


def _of_method(clips: Sequence[ClipResult], name: str) -> dict[str, Any]:
    answers = [(clip, clip.methods[name]) for clip in clips]
    errors = [trial.error_ms for _, found in answers for trial in found.trials]
    decided = [(clip, found) for clip, found in answers if any(trial.decided for trial in found.trials)]
    median = float(np.median(errors)) if errors else float("inf")
    return {
        "within_one_frame": _share(answers, lambda clip, trial: trial.error_ms <= clip.frame_ms),
        "within_100_ms": _share(answers, lambda _, trial: trial.error_ms <= TOLERANCE_MS),
        "median_error_ms": round(median, 1) if np.isfinite(median) else None,
        "decided": _share(answers, lambda _, trial: trial.decided),
        "decided_within_100_ms": asdict(
            share_of_clips(
                [
                    float(np.mean([trial.error_ms <= TOLERANCE_MS for trial in found.trials if trial.decided]))
                    for _, found in decided
                ]
            )
        ),
        "two_choice": {
            f"{shift:.0f}": asdict(share_of_clips([found.two_choice[shift] for _, found in answers]))
            for shift in TWO_CHOICE_SHIFTS_MS
        },
    }


def _share(
    answers: Sequence[tuple[ClipResult, Answers]], is_right: Callable[[ClipResult, OffsetTrial], bool]
) -> dict[str, Any]:
    return asdict(
        share_of_clips([float(np.mean([is_right(clip, trial) for trial in found.trials])) for clip, found in answers])
    )
