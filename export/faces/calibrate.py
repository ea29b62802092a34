"""Calibrate the face path on held-out clips, with their own audio and that of others, for windows and for whole files.

As for the whole picture (`cavsync.export.calibrate`), a clip is embedded once over a range of lags wider than the
search range; a part of it, moved by some hops, equals the clip with its audio shifted. What must not be accepted is
learned from shifts beyond the search range and from the audio of other clips.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cavsync.deploy import Bundle
from cavsync.deploy.files.face_file import FaceFile
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.stream.windows import MIN_FACE_SHARE, view_of
from cavsync.deploy.verdict.curve import (
    FACE_PRIOR_ROWS,
    MIN_ROWS,
    Curve,
    FloatArray,
    curve_features,
    curve_of_rows,
    find_peak,
)
from cavsync.errors import CavsyncError
from cavsync.export.calibrate import MAX_CLIP_SECONDS, WIDE_RANGE, draw_centres, true_offset_ms
from cavsync.export.faces.clip_stream import Clip, FaceStream, play
from cavsync.export.faces.disturb import Disturbance
from cavsync.export.fit_calibration import CalibrationReport, Examples, Goal, fit

log = logging.getLogger(__name__)

MIN_CLIPS = 4
MAX_CLIPS = 60
NUM_OTHERS = 2
"""Other clips whose audio each clip is given."""
NUM_PARTS = 4
"""Parts of random length of each clip that stand for shorter files."""
SHORTEST_FILE_SECONDS = 1.5
NUM_DISTURBED = 2
"""Times that each clip is scored with a drawn `Disturbance`."""
RANGE_SHARE = 0.6
"""Share of the search range within which offsets of the examples lie."""
GOAL = Goal(
    precision=0.95,
    max_false_accepted=0.1,
    highest_threshold=0.99,
    features=("strength", "margin_z"),
    # Audio that does not belong to its pictures is rarer in the field than among the examples.
    unsolvable_share=0.05,
    has_zero_point=False,
)


@dataclass(frozen=True)
class FaceCalibration:
    """Calibrations of windows and of whole files, fitted on `num_clips` clips."""

    windows: CalibrationReport
    files: CalibrationReport
    num_clips: int


@dataclass(frozen=True)
class _Part:
    """Rows of all faces over `lags_ms`, the lag of the audio (NaN: it is another clip's), and the number of the
    clip."""

    rows: list[FaceRow]
    lags_ms: FloatArray
    true_lag_ms: float
    clip: int


def calibrate_faces(bundle: Bundle, clips: Sequence[Path], *, seed: int = 0, source: str) -> FaceCalibration | None:
    """Fit both calibrations on clips that the face model never saw; None, with a log line, if they do not suffice.

    Files are the clips and parts of them. Windows are those of a stream of all clips in a row, because a stream has
    audio before and after a window. Of several faces the one that scoring would take is taken, for each shift of the
    audio: the more faces, the better the best of them matches by chance. Clips without a face are left out. Of
    more than MAX_CLIPS, a random choice determined by `seed` is used.
    """
    random = np.random.default_rng(seed)
    clips = [clips[index] for index in sorted(random.permutation(len(clips))[:MAX_CLIPS])]
    usable, files = [], []
    for number, clip in enumerate(clips):
        parts = list(_files(bundle, clips, number, random))
        files += parts
        usable += [clip] if parts else []
    if len(usable) < MIN_CLIPS:
        log.warning(
            "%d clips with a face are too few to calibrate the face path, %d are needed", len(usable), MIN_CLIPS
        )
        return None
    examples = [
        _examples(_windows(bundle, usable, random), bundle, random, _window_curve),
        _examples(files, bundle, random, _file_curve),
    ]
    if any(not found.right.any() or found.right.all() for found in examples):
        log.warning("all examples of the face path are right, or all are wrong: nothing to fit")
        return None
    windows, whole = (fit(found, source=source, goal=GOAL) for found in examples)
    return FaceCalibration(windows, whole, len(usable))


def _files(bundle: Bundle, clips: Sequence[Path], number: int, random: np.random.Generator) -> Iterator[_Part]:
    """Yield a clip and parts of random length of it, clean and disturbed, with its own audio and that of others."""
    path = clips[number]
    places = random.permutation([index for index in range(len(clips)) if index != number])
    others = [clips[index] for index in places[:NUM_OTHERS]]
    for disturbance in (None, *(Disturbance.draw(random) for _ in range(NUM_DISTURBED))):
        for audio in (path, *(others if disturbance is None else others[:1])):
            try:
                stream, shift_ms = _play(bundle, [Clip(path, audio, disturbance)], random)
            except CavsyncError as error:
                log.warning("not used for calibration: %s", error)
                return
            rows = stream.rows
            if len(rows) < MIN_ROWS and disturbance is None:
                log.warning("not used to calibrate the face path: %s shows no face, or for too short a time", path)
                return
            true_lag_ms = shift_ms - true_offset_ms(path) if audio == path else math.nan
            for part in _parts(rows, random) if len(rows) >= MIN_ROWS else ():
                yield _Part(part, stream.lags_ms, true_lag_ms, number)


def _parts(rows: list[FaceRow], random: np.random.Generator) -> Iterator[list[FaceRow]]:
    """Yield all rows, and those of NUM_PARTS spans of random length."""
    yield rows
    first_seconds, length_seconds = rows[0].time_seconds, rows[-1].time_seconds - rows[0].time_seconds
    if length_seconds <= SHORTEST_FILE_SECONDS:
        return
    for part_seconds in random.uniform(SHORTEST_FILE_SECONDS, length_seconds, size=NUM_PARTS):
        start_seconds = first_seconds + random.uniform(0, length_seconds - part_seconds)
        inside = [row for row in rows if start_seconds <= row.time_seconds < start_seconds + part_seconds]
        if len(inside) >= MIN_ROWS:
            yield inside


def _windows(bundle: Bundle, clips: Sequence[Path], random: np.random.Generator) -> Iterator[_Part]:
    """Yield the windows of a stream of all clips, with their own audio and with each other's."""
    sync = bundle.manifest.sync
    order = [clips[index] for index in random.permutation(len(clips))]
    truths_ms = np.array([true_offset_ms(path) for path in order])
    for turn, is_disturbed in [
        *((turn, False) for turn in range(1 + NUM_OTHERS)),
        *((turn, True) for turn in range(2)),
    ]:
        played = [
            Clip(video, audio, Disturbance.draw(random) if is_disturbed else None)
            for video, audio in zip(order, order[turn:] + order[:turn], strict=True)
        ]
        stream, shift_ms = _play(bundle, played, random)
        if not stream.rows:
            continue
        start_seconds, end_seconds = 0.0, max((row.time_seconds for row in stream.rows), default=0.0)
        while start_seconds + sync.window_seconds <= end_seconds:
            until_seconds = start_seconds + sync.window_seconds
            inside = [row for row in stream.rows if start_seconds <= row.time_seconds < until_seconds]
            first, last = np.searchsorted(stream.starts_seconds, [start_seconds, until_seconds], side="right") - 1
            is_one_truth = np.ptp(truths_ms[first : last + 1]) == 0
            if inside and is_one_truth:
                true_lag_ms = shift_ms - truths_ms[first] if turn == 0 else math.nan
                yield _Part(inside, stream.lags_ms, true_lag_ms, int(first))
            start_seconds += sync.decision_step_seconds


def _play(bundle: Bundle, clips: Sequence[Clip], random: np.random.Generator) -> tuple[FaceStream, float]:
    """Play clips over a wide range of lags, with the audio shifted by a random fraction of a hop; return the shift."""
    sync = bundle.manifest.sync
    shift_ms = float(random.uniform(-0.5, 0.5)) * sync.hop_ms
    stream = play(
        bundle,
        clips,
        max_lag_ms=WIDE_RANGE * sync.max_offset_ms,
        audio_shift_ms=shift_ms,
        max_clip_seconds=MAX_CLIP_SECONDS,
    )
    return stream, shift_ms


def _window_curve(bundle: Bundle, rows: list[FaceRow], lags_ms: FloatArray) -> Curve | None:
    """Return the curve of the face that decides in a window, as in `combine`; None where no face fills enough of it
    and moves its lips.

    The strength stands for the confidence, which is yet to be fitted.
    """
    expected = bundle.manifest.sync.window_seconds * _rate_hz(bundle)
    faces = [[row for row in rows if row.track == track] for track in sorted({row.track for row in rows})]
    curves = [
        curve_of_rows(lags_ms, np.stack([row.similarity for row in face]), prior_rows=FACE_PRIOR_ROWS)
        for face in faces
        if len(face) >= max(MIN_ROWS, MIN_FACE_SHARE * expected) and not view_of(face, 1.0).is_mute
    ]
    return max(curves, key=_strength, default=None)


def _strength(curve: Curve) -> float:
    peak = find_peak(curve.lags_ms, curve.similarity)
    return -1.0 if peak is None or peak.at_edge else curve_features(curve)["strength"]


def _file_curve(bundle: Bundle, rows: list[FaceRow], lags_ms: FloatArray) -> Curve | None:
    """Return the curve of the face that speaks in a file; None where faces fill too little of it or move no lips.

    At each time it is the face that matches best: no windows vote for one, which would need their calibration.
    """
    faces = FaceFile(lags_ms, bundle.manifest.sync.decision_step_seconds, _rate_hz(bundle))
    for row in rows:
        faces.add(row)
    found = faces.speaking((), rows[-1].time_seconds - rows[0].time_seconds)
    return None if found is None or found.view.is_mute else found.curve


def _rate_hz(bundle: Bundle) -> float:
    assert bundle.manifest.faces is not None
    return bundle.manifest.faces.frame_rate_hz


def _examples(
    parts: Iterable[_Part],
    bundle: Bundle,
    random: np.random.Generator,
    curve_of: Callable[[Bundle, list[FaceRow], FloatArray], Curve | None],
) -> Examples:
    """Collect the peaks of all parts at random shifts inside and outside the search range."""
    sync = bundle.manifest.sync
    reach = math.floor(sync.max_offset_ms / sync.hop_ms + 1e-9)
    features, errors, numbers = [], [], []
    for found in parts:
        for centre in draw_centres(found.lags_ms, found.true_lag_ms, reach, random, RANGE_SHARE):
            near = slice(centre - reach, centre + reach + 1)
            rows = [replace(row, similarity=row.similarity[near]) for row in found.rows]
            curve = curve_of(bundle, rows, found.lags_ms[near] - found.lags_ms[centre])
            peak = None if curve is None else find_peak(curve.lags_ms, curve.similarity)
            if curve is None or peak is None or peak.at_edge:
                continue
            truth_ms = found.true_lag_ms - found.lags_ms[centre]
            named = curve_features(curve)
            features.append([named[name] for name in GOAL.features])
            # Offsets have the opposite sign of lags.
            errors.append(truth_ms - peak.lag_ms if abs(truth_ms) <= sync.max_offset_ms else math.nan)
            numbers.append(found.clip)
    return Examples(
        np.asarray(features).reshape(-1, len(GOAL.features)), np.asarray(errors), np.asarray(numbers, dtype=np.int64)
    )
