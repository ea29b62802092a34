"""Detect an offset beyond the search range, where audio and video match better than anywhere within it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cavsync.deploy.verdict.curve import Curve
from cavsync.deploy.verdict.records import UNDETERMINED, SyncScore


def offset_beyond_ms(far: Curve, max_offset_ms: float) -> float | None:
    """Return the offset of the highest point of a curve if it lies beyond ±max_offset_ms, else None.

    None too where too little audio is there on either side of the limit.
    """
    known = np.isfinite(far.similarity)
    inside = np.flatnonzero(known & (np.abs(far.lags_ms) <= max_offset_ms))
    outside = np.flatnonzero(known & (np.abs(far.lags_ms) > max_offset_ms))
    if len(inside) == 0 or len(outside) == 0:
        return None
    best = outside[np.argmax(far.similarity[outside])]
    return None if far.similarity[best] <= far.similarity[inside].max() else -float(far.lags_ms[best])


def undecided_if_beyond(score: SyncScore, far: Curve | None, max_offset_ms: float) -> SyncScore:
    """Return the decision about a file, undetermined where its offset seems to lie beyond the range ±max_offset_ms.

    far: the curve over a wider range, of what the decision rests on; None where there is none.
    """
    found_ms = None if far is None or not score.is_measured else offset_beyond_ms(far, max_offset_ms)
    if found_ms is None:
        return score
    reason = (
        f"the offset seems to lie beyond ±{max_offset_ms:.0f} ms, near {found_ms / 1000:+.1f} s, where sound and "
        f"picture fit better: search further, with --max-offset-ms {2 * max_offset_ms:.0f}"
    )
    return replace(
        score,
        suggested_audio_delay_ms=None,
        state=UNDETERMINED,
        within_profile=None,
        reason=reason,
        is_measured=False,
    )
