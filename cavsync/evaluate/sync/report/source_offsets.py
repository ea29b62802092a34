"""The offset that the footage of one source has of its own, estimated from the other clips of the source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cavsync.evaluate.sync.judges import error_ms
from cavsync.evaluate.sync.measure import ClipResult

MIN_CLIPS = 3
HOW = (
    f"errors without the source's own offset: from every estimate, the median error with no offset put in of the other "
    f"clips of its source is taken, by method; not for sources with fewer than {MIN_CLIPS} such clips"
)


def own_offsets_ms(clips: Sequence[ClipResult], method: str) -> dict[str, float]:
    """Return the error of a method at each clip (by name) with no offset put in; clips without an estimate are left
    out."""
    found = {}
    for clip in clips:
        for trial in clip.trials[method]:
            error = error_ms(trial.answer, trial.offset_ms)
            if trial.injected_ms == 0 and trial.answer.has_face and np.isfinite(error):
                found[clip.case.name] = error
    return found


def source_medians_ms(clips: Sequence[ClipResult], method: str) -> dict[str, float | None]:
    """Return the median of `own_offsets_ms` by source, None where no clip has an estimate."""
    own = own_offsets_ms(clips, method)
    medians: dict[str, float | None] = {}
    for source in sorted({clip.case.source for clip in clips}):
        errors = [own[clip.case.name] for clip in clips if clip.case.source == source and clip.case.name in own]
        medians[source] = float(np.median(errors)) if errors else None
    return medians


def corrections_ms(clips: Sequence[ClipResult], method: str) -> dict[str, float]:
    """Return by clip what to subtract from the method's estimates: the median of the other clips of its source.

    A clip never corrects itself. 0 for sources with fewer than three clips with an estimate.
    """
    own = own_offsets_ms(clips, method)
    found = {}
    for clip in clips:
        same = [other.case.name for other in clips if other.case.source == clip.case.source and other.case.name in own]
        others = [own[name] for name in same if name != clip.case.name]
        found[clip.case.name] = float(np.median(others)) if len(same) >= MIN_CLIPS and others else 0.0
    return found
