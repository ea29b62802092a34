"""The protocol of a sync test: every choice that affects its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pydantic import JsonValue

from cavsync.deploy.verdict.profiles import DEFAULT_PROFILE
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.measure import (
    BASELINE_RANGE_MS,
    BASELINES,
    TOLERANCES_MS,
    TWO_CHOICE_HOP_MS,
    TWO_CHOICE_SHIFTS_MS,
)
from cavsync.evaluate.sync.motion_baseline import REAL_CLIPS_ZERO_POINT_MS
from cavsync.evaluate.sync.offset_classes import CLASS_STEP_MS, MAX_CLASS_OFFSET_MS, MIN_SECONDS, NUM_CLASSES, SEARCH_MS
from cavsync.manifest import Manifest

# Names of the trials in the protocol -> in a line of a manifest.
TRIALS = {"injected_offsets": "injected_offsets_ms", "injected_classes": "classes", "grid_shifts": "grid_shift"}


def sync_protocol(
    models: Mapping[str, Manifest],
    cases: Sequence[SyncCase],
    *,
    offsets_per_clip: int,
    max_offset_ms: float,
    only: Mapping[str, str],
) -> dict[str, JsonValue]:
    """Return the protocol of `evaluate_sync` with the same models, cases and options; `only`: how the cases were
    selected."""
    drawn = {
        "injected_offsets": f"{offsets_per_clip} per clip, uniform within ±{max_offset_ms:g} ms",
        "injected_classes": f"{offsets_per_clip} per clip, each once",
        "grid_shifts": "uniform within half a hop",
    }
    return {
        **{name: _drawn_or_fixed(cases, entry, drawn[name]) for name, entry in TRIALS.items()},
        "only": dict(only),
        "models": {name: _grid(manifest) for name, manifest in models.items()},
        "window": "the whole clip",
        "profile": DEFAULT_PROFILE,
        "baselines": {
            "names": list(BASELINES),
            "range_ms": BASELINE_RANGE_MS,
            "zero_point_ms": {"generated": 0.0, "filmed": REAL_CLIPS_ZERO_POINT_MS},
        },
        "tolerances": ["one frame", *(f"{limit:.0f} ms" for limit in TOLERANCES_MS)],
        "two_choice_shifts_ms": list(TWO_CHOICE_SHIFTS_MS),
        "two_choice_hop_ms": TWO_CHOICE_HOP_MS,
        "classes": f"{NUM_CLASSES} of {CLASS_STEP_MS:.0f} ms within ±{MAX_CLASS_OFFSET_MS:.0f} ms",
        "classes_search_ms": SEARCH_MS,
        "classes_need_seconds": MIN_SECONDS,
        "intervals": "95 %, bootstrap over the clips",
    }


def _drawn_or_fixed(cases: Sequence[SyncCase], entry: str, drawn: str) -> str:
    fixed = sum(case.trials is not None and getattr(case.trials, entry) is not None for case in cases)
    if not fixed:
        return drawn
    if fixed == len(cases):
        return "fixed by the manifest"
    return f"fixed by the manifest for {fixed} of {len(cases)} clips, else {drawn}"


def _grid(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the values of a model's manifest that affect the figures."""
    grid: dict[str, JsonValue] = {**asdict(manifest.sync)}
    # Unused here: the test decides once per clip.
    del grid["window_seconds"], grid["decision_step_seconds"]
    calibration = manifest.calibration
    return grid | {
        "zero_point_ms": calibration.zero_point_ms if calibration else None,
        "threshold": calibration.threshold if calibration else None,
    }
