"""The test of 21 classes on a clip, for every bundle and the motion baselines."""

from __future__ import annotations

from cavsync.deploy import Bundle
from cavsync.evaluate.sync.baseline_inputs import read_baseline_inputs
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.clip_rows import embed_clip
from cavsync.evaluate.sync.judges import BASELINES
from cavsync.evaluate.sync.motion_baseline import REAL_CLIPS_ZERO_POINT_MS, motion_curves
from cavsync.evaluate.sync.offset_classes import CLASS_REACH_MS, ClassTrial, class_trials, curve_class_trials
from cavsync.evaluate.sync.plan import SyncPlan
from cavsync.media.align import SAMPLE_RATE_HZ

ClassAnswers = dict[str, tuple[ClassTrial, ...]]


def class_answers(bundles: dict[str, Bundle], case: SyncCase, plan: SyncPlan) -> ClassAnswers:
    """Return the trials of each bundle (by name; the whole picture) and baseline; nothing where no class is planned.

    A clip is embedded once over ±4.1 s of lags; a part of that range, moved by a class's offset, is what a search would
    see of the shifted clip. Classes that the clip is too short for are left out. Raises MediaError for a clip that
    cannot be read.
    """
    if not plan.classes:
        return {}
    found: ClassAnswers = {}
    for name, bundle in bundles.items():
        hop_ms = bundle.manifest.sync.hop_ms
        wide = embed_clip(
            bundle,
            case.path,
            max_lag_ms=CLASS_REACH_MS + hop_ms + abs(case.true_offset_ms),
            true_offset_ms=case.true_offset_ms,
            audio_shift_ms=plan.grid_shift * hop_ms,
        )
        found[name] = class_trials(bundle, wide, plan.classes)
    frames, times, samples = read_baseline_inputs(case.path)
    reach_ms = CLASS_REACH_MS + abs(case.true_offset_ms) + REAL_CLIPS_ZERO_POINT_MS
    lags_ms, *curves = motion_curves(frames, times, samples, SAMPLE_RATE_HZ, reach_ms)
    zero_ms = (0.0 if case.generated else REAL_CLIPS_ZERO_POINT_MS) - case.true_offset_ms
    for name, curve in zip(BASELINES, curves, strict=True):
        found[name] = curve_class_trials(lags_ms, curve, zero_ms, plan.classes)
    return found
