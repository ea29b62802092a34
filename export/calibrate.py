"""Calibrate the confidence on held-out clips of known offset, separately for windows and for whole files.

A clip is embedded once, over a range of lags wider than the search range. A part of that range, moved by some hops,
then equals the curve of the clip with its audio shifted, also by more than the search range, where no peak is right.
The audio is first shifted by a random fraction of a hop, so that the truth does not always fall on the grid.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cavsync.data.synth import read_truth
from cavsync.deploy import Bundle
from cavsync.deploy.stream.rows import Row, evidence_of
from cavsync.deploy.verdict.confidence import lack_of_evidence
from cavsync.deploy.verdict.curve import FloatArray, curve_features, curve_of_rows, find_peak
from cavsync.errors import CavsyncError
from cavsync.evaluate.sync.clip_rows import ClipRows, embed_clip
from cavsync.export.fit_calibration import FEATURES, CalibrationReport, Examples, Goal, fit
from cavsync.manifest import SyncSpec

log = logging.getLogger(__name__)

MIN_CLIPS = 4
MAX_CLIPS = 48
MAX_CLIP_SECONDS = 30.0
SHIFTS_IN_RANGE = 3
SHIFTS_OUT_OF_RANGE = 1
RANGE_SHARE = 0.9
NUM_PARTS = 3
"""Parts of random length of each clip that stand for shorter files."""
FILE_GOAL = Goal(precision=0.95, max_false_accepted=0.05)
"""Stricter than for windows: repairs act on it, and footage in the field is unlike the clips it is fitted on."""
SHORTEST_FILE_SECONDS = 2.5
# Wide enough for every shift that `_centres` draws: 1.25 beyond plus the search range itself, and some for the truth.
WIDE_RANGE = 2.5


Spans = Callable[[list[Row]], Iterator[list[Row]]]
"""Chooses the rows of a clip that are judged together."""


@dataclass(frozen=True)
class WholeCalibration:
    """Calibrations of the whole picture for windows and for whole files."""

    windows: CalibrationReport
    files: CalibrationReport


def calibrate(
    bundle: Bundle,
    clips: Sequence[Path],
    *,
    seed: int = 0,
    source: str = "held-out clips",
    progress: Callable[[int, int], None] = lambda *_: None,
) -> WholeCalibration | None:
    """Fit both calibrations of a bundle on clips that its model never saw; None if they do not suffice.

    A file is longer than a window and its curve clearer, so one fit for both would refuse clear files or trust unclear
    windows.

    Clips with a truth.jsonl in their folder have the offset that it states, others are assumed to be in sync. Of more
    than `MAX_CLIPS` clips, a random choice determined by `seed` is used. `progress(done, total)` is called after each.
    """
    random = np.random.default_rng(seed)
    chosen = sorted(random.permutation(len(clips))[:MAX_CLIPS])
    loaded = []
    for done, index in enumerate(chosen, start=1):
        if (clip := _embedded(bundle, clips[index], random)) is not None:
            loaded.append(clip)
        progress(done, len(chosen))
    if len(loaded) < MIN_CLIPS:
        log.warning("%d usable clips are too few to calibrate with, %d are needed", len(loaded), MIN_CLIPS)
        return None
    sync = bundle.manifest.sync
    windows = collect(loaded, sync, random, lambda rows: window_spans(rows, sync))
    files = collect(loaded, sync, random, lambda rows: file_spans(rows, random))
    for name, found in (("windows", windows), ("files", files)):
        if not found.right.any() or found.right.all():
            log.warning("all %d calibration %s are right, or all are wrong: nothing to fit", len(found.right), name)
            return None
    return WholeCalibration(fit(windows, source=source), fit(files, source=source, goal=FILE_GOAL))


def _embedded(bundle: Bundle, path: Path, random: np.random.Generator) -> ClipRows | None:
    """Embed a clip, its audio shifted by a random fraction of a hop; None, with a log line, if it cannot be used."""
    sync = bundle.manifest.sync
    try:
        return embed_clip(
            bundle,
            path,
            max_lag_ms=WIDE_RANGE * sync.max_offset_ms,
            true_offset_ms=true_offset_ms(path),
            audio_shift_ms=float(random.uniform(-0.5, 0.5)) * sync.hop_ms,
            max_seconds=MAX_CLIP_SECONDS,
        )
    except CavsyncError as error:
        log.warning("not used for calibration: %s", error)
        return None


def collect(clips: Sequence[ClipRows], sync: SyncSpec, random: np.random.Generator, spans: Spans) -> Examples:
    """Collect the spans of every clip, at random shifts inside and outside the search range.

    Spans that a scorer would not judge (silence, a still image, a peak at the end of the range) are left out.
    """
    reach = math.floor(sync.max_offset_ms / sync.hop_ms + 1e-9)
    features, errors, numbers = [], [], []
    for number, clip in enumerate(clips):
        for rows in spans(clip.rows):
            similarity, evidence = np.stack([row.similarity for row in rows]), evidence_of(rows)
            for centre in draw_centres(clip.lags_ms, clip.true_lag_ms, reach, random):
                part = slice(centre - reach, centre + reach + 1)
                curve = curve_of_rows(clip.lags_ms[part] - clip.lags_ms[centre], similarity[:, part])
                peak = find_peak(curve.lags_ms, curve.similarity)
                if peak is None or peak.at_edge or lack_of_evidence(curve, evidence) is not None:
                    continue
                truth_ms = clip.true_lag_ms - clip.lags_ms[centre]
                named = curve_features(curve)
                features.append([named[name] for name in FEATURES])
                # Offsets have the opposite sign of lags.
                errors.append(truth_ms - peak.lag_ms if abs(truth_ms) <= sync.max_offset_ms else math.nan)
                numbers.append(number)
    return Examples(
        np.asarray(features).reshape(-1, len(FEATURES)), np.asarray(errors), np.asarray(numbers, dtype=np.int64)
    )


def true_offset_ms(path: Path) -> float:
    """Offset that the clip's truth.jsonl states; 0 without one."""
    for record in read_truth(path.parent):
        if record["file"] == path.name:
            return float(record["audio_offset_ms"])
    return 0.0


def window_spans(rows: list[Row], sync: SyncSpec) -> Iterator[list[Row]]:
    """Yield the rows of windows at every second decision; all rows where the clip is shorter than a window."""
    start = rows[0].time_seconds
    if start + sync.window_seconds > rows[-1].time_seconds:
        yield rows
    while start + sync.window_seconds <= rows[-1].time_seconds:
        inside = _between(rows, start, start + sync.window_seconds)
        if inside:
            yield inside
        start += 2 * sync.decision_step_seconds


def file_spans(rows: list[Row], random: np.random.Generator) -> Iterator[list[Row]]:
    """Yield all rows, and those of NUM_PARTS parts of random length."""
    yield rows
    first_seconds, length_seconds = rows[0].time_seconds, rows[-1].time_seconds - rows[0].time_seconds
    if length_seconds <= SHORTEST_FILE_SECONDS:
        return
    for part_seconds in random.uniform(SHORTEST_FILE_SECONDS, length_seconds, size=NUM_PARTS):
        start_seconds = first_seconds + random.uniform(0, length_seconds - part_seconds)
        if inside := _between(rows, start_seconds, start_seconds + part_seconds):
            yield inside


def _between(rows: list[Row], start_seconds: float, end_seconds: float) -> list[Row]:
    return [row for row in rows if start_seconds <= row.time_seconds < end_seconds]


def draw_centres(
    lags_ms: FloatArray, true_lag_ms: float, reach: int, random: np.random.Generator, range_share: float = RANGE_SHARE
) -> list[int]:
    """Draw indices of the wide grid of lags to serve as lag 0: near the truth, and too far from it for a right peak.

    reach: lags on either side of lag 0; the truth lies within `range_share` of them. Without one (NaN) they lie
    anywhere.
    """
    truth = len(lags_ms) // 2 if math.isnan(true_lag_ms) else int(np.argmin(np.abs(lags_ms - true_lag_ms)))
    span = round(range_share * reach)
    near = truth + random.integers(-span, span + 1, size=SHIFTS_IN_RANGE)
    beyond = round(1.25 * reach)
    far = truth + random.choice([-beyond, beyond], size=SHIFTS_OUT_OF_RANGE)
    return [int(c) for c in [*near, *far] if reach <= c < len(lags_ms) - reach]
