"""The protocol of a sync test: every choice that affects its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pydantic import JsonValue

from cavsync.deploy.verdict.profiles import DEFAULT_PROFILE
from cavsync.evaluate.inputs.encoders import has_chained_blocks
from cavsync.evaluate.sync.absolute_offset import WINDOW_SECONDS
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.generation import av_align, lip_distance, window_scores
from cavsync.evaluate.sync.generation.measures import AV_ALIGN, JAVIS, LSE
from cavsync.evaluate.sync.judges import BASELINE_RANGE_MS, BASELINES
from cavsync.evaluate.sync.measure import SyncTests
from cavsync.evaluate.sync.motion_baseline import REAL_CLIPS_ZERO_POINT_MS
from cavsync.evaluate.sync.offset_classes import CLASS_STEP_MS, MAX_CLASS_OFFSET_MS, MIN_SECONDS, NUM_CLASSES, SEARCH_MS
from cavsync.evaluate.sync.paths import paths_to_test
from cavsync.evaluate.sync.report import source_offsets
from cavsync.evaluate.sync.report.control_metrics import LARGEST_MOVEMENT_MS
from cavsync.evaluate.sync.report.metrics import RIGHT_MS, TOLERANCES_MS
from cavsync.evaluate.sync.two_choices import TWO_CHOICE_SHIFTS_MS
from cavsync.manifest import Manifest
from cavsync.media.tracks import PLAYED

GENERATION: dict[str, JsonValue] = {LSE: lip_distance.HOW, AV_ALIGN: av_align.HOW, JAVIS: window_scores.HOW}


def sync_protocol(
    models: Mapping[str, Manifest],
    cases: Sequence[SyncCase],
    tests: SyncTests,
    *,
    only: Mapping[str, tuple[str, ...]],
    min_seconds: float = 0.0,
    sha256: Mapping[str, str] | None = None,
) -> dict[str, JsonValue]:
    """Return the protocol of `evaluate_sync` with the same models, cases and tests.

    Args:
        only: columns and values by which the cases were selected.
        min_seconds: length from which on clips were selected.
        sha256: the models' hashes by name, stated where the figures judge the clips: then the models are the ruler.
    """
    offsets = ", ".join(f"{offset:g}" for offset in tests.offsets_ms)
    protocol: dict[str, JsonValue] = {
        "offsets": _chosen_or_fixed(cases, "injected_offsets_ms", f"{offsets} ms for every clip"),
        "offsets_put_in_by": "a copy of the file with the timestamps of its audio shifted, streams delayed, none cut",
        "judged": "the verdict on the whole file",
        "only": {column: " or ".join(values) for column, values in only.items()},
        "min_seconds": min_seconds,
        "window_seconds": tests.window_seconds,
        "models": {name: _grid(manifest, tests.paths) for name, manifest in models.items()},
        "profile": DEFAULT_PROFILE,
        "baselines": {
            "names": list(BASELINES),
            "range_ms": BASELINE_RANGE_MS,
            "zero_point_ms": {"generated": 0.0, "filmed": REAL_CLIPS_ZERO_POINT_MS},
        },
        "tolerances_ms": list(TOLERANCES_MS),
        "right_within_ms": RIGHT_MS,
        "two_choice_shifts_ms": list(TWO_CHOICE_SHIFTS_MS),
        "two_choice_from": "the file's curve, interpolated by a cubic spline",
        "without_source_offsets": source_offsets.HOW,
        "intervals": "95 %, bootstrap over the groups of clips",
    }
    if tests.tracks != PLAYED:
        protocol["tracks"] = str(tests.tracks)
    if tests.wrong_sound:
        protocol["wrong_sound"] = (
            "each sound once where possible, put to a clip of another group; as many as possible as long as the video"
        )
    if tests.absolute_offset:
        protocol["absolute_offset"] = (
            f"the clip as it is: classes of {CLASS_STEP_MS:.0f} ms in the first and the last {WINDOW_SECONDS} s, "
            f"searched over {SEARCH_MS:.0f} ms to either side by the whole picture; clips without evidence apart"
        )
    protocol |= {name: words for name, words in GENERATION.items() if name in tests.generation_metrics}
    if sha256 and (tests.absolute_offset or tests.generation_metrics):
        protocol["measured_by"] = {name: digest[:12] for name, digest in sha256.items()}
    if tests.variants:
        protocol["variants"] = list(tests.variants)
        protocol["variants_move_by_more_than_ms"] = LARGEST_MOVEMENT_MS
    if tests.classes_per_clip or any(case.trials is not None and case.trials.classes for case in cases):
        protocol |= _classes(cases, tests.classes_per_clip)
    return protocol


def _classes(cases: Sequence[SyncCase], per_clip: int) -> dict[str, JsonValue]:
    return {
        "injected_classes": _chosen_or_fixed(cases, "classes", f"{per_clip} per clip, each once"),
        "grid_shifts": _chosen_or_fixed(cases, "grid_shift", "uniform within half a hop"),
        "classes": f"{NUM_CLASSES} of {CLASS_STEP_MS:.0f} ms within ±{MAX_CLASS_OFFSET_MS:.0f} ms",
        "classes_search_ms": SEARCH_MS,
        "classes_need_seconds": MIN_SECONDS,
    }


def _chosen_or_fixed(cases: Sequence[SyncCase], entry: str, chosen: str) -> str:
    fixed = sum(case.trials is not None and getattr(case.trials, entry) is not None for case in cases)
    if not fixed:
        return chosen
    if fixed == len(cases):
        return "fixed by the manifest"
    return f"fixed by the manifest for {fixed} of {len(cases)} clips, else {chosen}"


def _grid(manifest: Manifest, paths: Sequence[str]) -> dict[str, JsonValue]:
    """Return the values of a model's manifest that affect the figures."""
    grid: dict[str, JsonValue] = {**asdict(manifest.sync)}
    calibration = manifest.file_calibration or manifest.calibration
    return grid | {
        "paths": list(paths_to_test(manifest, paths)),
        "joint_blocks_chained": has_chained_blocks(manifest.model),
        "zero_point_ms": calibration.zero_point_ms if calibration else None,
        "threshold": calibration.threshold if calibration else None,
    }
