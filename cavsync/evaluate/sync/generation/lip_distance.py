"""Figures in the style of LSE-D and LSE-C: distances between lips and sound by lag, from a bundle's face path.

LSE-D (Sync-D) is the least mean distance over lags of up to 15 frames, LSE-C (Sync-C) the median minus the least.
Source: Chung and Zisserman 2016; Prajwal et al., arXiv 2008.10010. SyncNet's embeddings have any length and its
distances lie about 6 to 15; the embeddings here have unit length, so that distances lie in 0..2.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.stream.windows import view_of
from cavsync.deploy.verdict.confidence import Evidence, lack_of_input
from cavsync.deploy.verdict.curve import MIN_ROWS
from cavsync.deploy.verdict.records import FACE
from cavsync.evaluate.sync.offset_classes import MIN_SECONDS
from cavsync.media import MediaReader, VideoFrame

MAX_LAG_FRAMES = 15
FRAME_RATE_HZ = 25.0
LAGS_MS = np.arange(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1) * 1000 / FRAME_RATE_HZ
HOW = (
    f"the clip as it is, the face followed longest: distance of unit embeddings by lag, over ±{MAX_LAG_FRAMES} frames"
    f" of {1000 / FRAME_RATE_HZ:.0f} ms, averaged over time; D = least, C = median - least"
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class LipDistance:
    """`distance` is the least mean distance over the lags, `confidence` the median minus the least; None without
    evidence. `has_face`: whether a face was found."""

    has_face: bool
    distance: float | None = None
    confidence: float | None = None


def lip_distance(bundle: Bundle, path: Path) -> LipDistance:
    """Measure the face that is seen longest in a clip, by a bundle with a face path.

    Evidence is a second of moments with audio at all lags, sound that is not silent, and lips that move. Raises
    MediaError for a clip that cannot be read.
    """
    faces: defaultdict[tuple[int, int], list[FaceRow]] = defaultdict(list)
    scorer = SyncScorer(
        bundle,
        max_offset_ms=LAGS_MS[-1] + bundle.manifest.sync.hop_ms,
        path=FACE,
        on_face_row=lambda row: faces[row.epoch, row.track].append(row),
    )
    with MediaReader(path) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
            else:
                scorer.push_audio(item.samples, pts_seconds=item.pts_seconds)
    scorer.flush()
    if not faces:
        return LipDistance(has_face=False)
    assert bundle.faces is not None
    longest = max(faces.values(), key=len)
    if len(longest) < MIN_ROWS or view_of(longest, 1.0).is_mute:
        return LipDistance(has_face=True)
    return of_rows(
        scorer.lags_ms,
        np.stack([row.similarity for row in longest]),
        np.array([row.level_dbfs for row in longest]),
        1 / bundle.faces.spec.frame_rate_hz,
    )


def of_rows(lags_ms: FloatArray, similarity: FloatArray, level_dbfs: FloatArray, period_seconds: float) -> LipDistance:
    """Return the figures of one face from its similarities (n, lags), whose lags cover `LAGS_MS`, and levels (n,).

    Between two lags of the grid similarities are interpolated linearly. Moments without audio at some lag are left out.
    """
    rows = np.array([np.interp(LAGS_MS, lags_ms, row) for row in similarity]).reshape(len(similarity), len(LAGS_MS))
    used = np.isfinite(rows).all(axis=1)
    count = int(used.sum())
    lack = lack_of_input(count, Evidence(None, level_dbfs[used], np.full(count, period_seconds)))
    if lack is not None or count * period_seconds < MIN_SECONDS:
        return LipDistance(has_face=True)
    # Of unit vectors, |u - v|^2 = 2 - 2 cos.
    distance = np.sqrt(np.maximum(2 - 2 * rows[used], 0.0)).mean(axis=0)
    least = float(distance.min())
    return LipDistance(True, least, float(np.median(distance)) - least)
