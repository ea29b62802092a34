"""Lengths of clips by their packets, and the choice of clips that are long enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy.repair.trace import trace_file
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.sync.cases import SyncCase


@dataclass(frozen=True)
class ClipLength:
    """Seconds of a clip's first video track and of its first audio track."""

    video_seconds: float
    audio_seconds: float


def clip_length(path: Path) -> ClipLength:
    """Return the lengths of a clip's tracks. Raises MediaError for a clip without video or audio with timestamps."""
    seconds: dict[str, float] = {}
    for trace in trace_file(path):
        if trace.is_timed and trace.start_seconds is not None and trace.end_seconds is not None:
            seconds.setdefault(trace.kind, float(trace.end_seconds - trace.start_seconds))
    missing = next((kind for kind in ("video", "audio") if kind not in seconds), None)
    if missing is not None:
        raise MediaError(f"{path} has no {missing} with timestamps: give a clip with video and audio")
    return ClipLength(seconds["video"], seconds["audio"])


def long_enough(cases: Sequence[SyncCase], min_seconds: float) -> list[SyncCase]:
    """Keep the clips whose video and audio last at least `min_seconds`, and those that cannot be read.

    The latter are rejected by name when they are tested. Raises DataError if no clip is left.
    """
    kept = [case for case in cases if min_seconds <= 0 or _lasts(case.path, min_seconds)]
    if not kept:
        raise DataError(f"None of {len(cases)} clips lasts {min_seconds:g} s: give a smaller --min-seconds.")
    return kept


def _lasts(path: Path, seconds: float) -> bool:
    try:
        found = clip_length(path)
    except MediaError:
        return True
    return min(found.video_seconds, found.audio_seconds) >= seconds
