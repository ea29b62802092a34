"""Calibrate the face path on held-out clips: windows as windows, files as files, and clips with the audio of others.

As for the whole picture (`cavsync.export.calibrate`), a clip is embedded once over a range of lags wider than the
search range; a part of it, moved by some hops, equals the clip with its audio shifted. What must not be accepted is
learned from shifts beyond the search range and from the audio of other clips.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.curve import FACE_PRIOR_ROWS, MIN_ROWS, FloatArray, curve_features, curve_of_rows, find_peak
from cavsync.errors import CavsyncError
from cavsync.export.calibrate import MAX_CLIP_SECONDS, WIDE_RANGE, draw_centres, true_offset_ms
from cavsync.export.fit_calibration import FEATURES, CalibrationReport, Examples, Goal, fit
from cavsync.manifest import SyncSpec
from cavsync.media import AudioChunk, MediaReader, VideoFrame

log = logging.getLogger(__name__)

MIN_CLIPS = 4
MAX_CLIPS = 60
NUM_OTHERS = 2
"""Other clips whose audio each clip is given."""
NUM_PARTS = 4
"""Parts of random length of each clip that stand for shorter files."""
SHORTEST_FILE_SECONDS = 1.5
Parts = Callable[[list[FaceRow], SyncSpec, np.random.Generator], Iterator[list[FaceRow]]]
GOAL = Goal(precision=0.95, max_false_accepted=0.05)


@dataclass(frozen=True)
class FaceCalibration:
    """Calibrations of windows and of whole files, fitted on `num_clips` clips."""

    windows: CalibrationReport
    files: CalibrationReport
    num_clips: int


@dataclass(frozen=True)
class _FaceClip:
    """Rows of a clip's main face over `lags_ms`, and the lag of its audio, NaN for another clip's audio."""

    rows: list[FaceRow]
    lags_ms: FloatArray
    true_lag_ms: float


def calibrate_faces(bundle: Bundle, clips: Sequence[Path], *, seed: int = 0, source: str) -> FaceCalibration | None:
    """Fit both calibrations on clips that the face model never saw; None, with a log line, if they do not suffice.

    Clips without a face are left out. Of more than MAX_CLIPS, a random choice determined by `seed` is used.
    """
    random = np.random.default_rng(seed)
    chosen = [clips[index] for index in sorted(random.permutation(len(clips))[:MAX_CLIPS])]
    sync = bundle.manifest.sync
    loaded = [found for place in range(len(chosen)) if (found := _load(bundle, chosen, place, random))]
    if len(loaded) < MIN_CLIPS:
        log.warning(
            "%d clips with a face are too few to calibrate the face path, %d are needed", len(loaded), MIN_CLIPS
        )
        return None
    windows = _collect(loaded, _windows, sync, random)
    files = _collect(loaded, _files, sync, random)
    if any(not examples.right.any() or examples.right.all() for examples in (windows, files)):
        log.warning("all examples of the face path are right, or all are wrong: nothing to fit")
        return None
    return FaceCalibration(
        windows=fit(windows, source=source, goal=GOAL),
        files=fit(files, source=source, goal=GOAL),
        num_clips=len(loaded),
    )


def _load(bundle: Bundle, clips: list[Path], place: int, random: np.random.Generator) -> list[_FaceClip]:
    """Score a clip with its own audio, shifted by a random fraction of a hop, and with that of NUM_OTHERS clips."""
    path = clips[place]
    shift_ms = float(random.uniform(-0.5, 0.5)) * bundle.manifest.sync.hop_ms
    others = random.permutation([index for index in range(len(clips)) if index != place])[:NUM_OTHERS]
    found = []
    for audio, true_lag_ms in [(path, shift_ms - true_offset_ms(path)), *((clips[i], math.nan) for i in others)]:
        try:
            rows, lags_ms = _face_rows(bundle, path, audio, shift_ms)
        except CavsyncError as error:
            log.warning("not used for calibration: %s", error)
            return []
        if len(rows) < MIN_ROWS:
            log.warning("not used to calibrate the face path: %s shows no face, or for too short a time", path)
            return []
        found.append(_FaceClip(rows, lags_ms, true_lag_ms))
    return found


def _face_rows(bundle: Bundle, video: Path, audio: Path, shift_ms: float) -> tuple[list[FaceRow], FloatArray]:
    """Rows of the main face of one clip with the audio of another, which begins where the clip's own would."""
    rows: list[FaceRow] = []
    range_ms = WIDE_RANGE * bundle.manifest.sync.max_offset_ms
    scorer = SyncScorer(bundle, path="face", max_offset_ms=range_ms, on_face_row=rows.append)
    start_seconds = 0.0
    for item in _read(video):
        if isinstance(item, VideoFrame):
            start_seconds = start_seconds or item.pts_seconds
            scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
        elif video == audio:
            scorer.push_audio(item.samples, pts_seconds=item.pts_seconds + shift_ms / 1000)
    if video != audio:
        for item in _read(audio):
            if isinstance(item, AudioChunk):
                scorer.push_audio(item.samples, pts_seconds=item.pts_seconds + shift_ms / 1000)
    scorer.flush()
    tracks = Counter(row.track for row in rows)
    main = max(tracks, key=lambda track: tracks[track], default=-1)
    return [row for row in rows if row.track == main], scorer.lags_ms


def _read(path: Path) -> Iterator[VideoFrame | AudioChunk]:
    with MediaReader(path) as reader:
        for item in reader:
            if item.pts_seconds > MAX_CLIP_SECONDS:
                return
            yield item


def _collect(loaded: list[list[_FaceClip]], parts: Parts, sync: SyncSpec, random: np.random.Generator) -> Examples:
    """Collect the peaks of parts of all clips at random shifts inside and outside the search range."""
    reach = math.floor(sync.max_offset_ms / sync.hop_ms + 1e-9)
    features, errors, numbers = [], [], []
    for number, variants in enumerate(loaded):
        for clip in variants:
            for rows in parts(clip.rows, sync, random):
                similarity = np.stack([row.similarity for row in rows])
                for centre in draw_centres(clip.lags_ms, clip.true_lag_ms, reach, random):
                    part = slice(centre - reach, centre + reach + 1)
                    lags_ms = clip.lags_ms[part] - clip.lags_ms[centre]
                    curve = curve_of_rows(lags_ms, similarity[:, part], prior_rows=FACE_PRIOR_ROWS)
                    peak = find_peak(curve.lags_ms, curve.similarity)
                    if peak is None or peak.at_edge:
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


def _windows(rows: list[FaceRow], sync: SyncSpec, random: np.random.Generator) -> Iterator[list[FaceRow]]:
    """Yield the rows of the windows that a scorer would judge, and of a clip that is shorter than one."""
    del random
    start_seconds, end_seconds = rows[0].time_seconds, rows[-1].time_seconds
    while True:
        until_seconds = start_seconds + sync.window_seconds
        inside = [row for row in rows if start_seconds <= row.time_seconds < until_seconds]
        if len(inside) >= MIN_ROWS:
            yield inside
        start_seconds += sync.decision_step_seconds
        if start_seconds + sync.window_seconds > end_seconds:
            return


def _files(rows: list[FaceRow], sync: SyncSpec, random: np.random.Generator) -> Iterator[list[FaceRow]]:
    """Yield all rows, and those of parts of random length, which stand for shorter files."""
    del sync
    yield rows
    first_seconds, length_seconds = rows[0].time_seconds, rows[-1].time_seconds - rows[0].time_seconds
    if length_seconds <= SHORTEST_FILE_SECONDS:
        return
    for part_seconds in random.uniform(SHORTEST_FILE_SECONDS, length_seconds, size=NUM_PARTS):
        start_seconds = first_seconds + random.uniform(0, length_seconds - part_seconds)
        inside = [row for row in rows if start_seconds <= row.time_seconds < start_seconds + part_seconds]
        if len(inside) >= MIN_ROWS:
            yield inside
