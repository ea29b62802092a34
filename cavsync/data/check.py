"""Load every clip of a source and record whether training would reject it, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from cavsync.data.clip import Clip
from cavsync.data.parallel import map_clips
from cavsync.data.sampling import SamplePlan, usable_instants
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError
from cavsync.file_names import legible

# Frames are only decoded, not used: a small size saves time and memory.
IMG_SIZE = 32


@dataclass(frozen=True)
class ClipCheck:
    """One clip: its duration in `seconds`, or why it would be rejected: `reason`, a word, and `error`, a sentence."""

    name: str
    seconds: float = 0.0
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """The checks of the clips of a source, in its order.

    `ended_by` is what interrupted the check before its last clip.
    """

    clips: list[ClipCheck]
    ended_by: type[KeyboardInterrupt] | None = None

    @property
    def rejected(self) -> list[ClipCheck]:
        """The clips that would be rejected."""
        return [clip for clip in self.clips if clip.reason is not None]

    @property
    def reasons(self) -> Counter[str]:
        """Number of rejects by reason."""
        return Counter(clip.reason for clip in self.clips if clip.reason is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "clips": len(self.clips),
            "complete": self.ended_by is None,
            "rejected": len(self.rejected),
            "reasons": dict(self.reasons),
            "seconds": round(sum(clip.seconds for clip in self.clips), 3),
            "rejects": [asdict(clip) for clip in self.rejected],
        }


def check_source(
    source: ClipSource, plan: SamplePlan, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Load every clip and find its usable instants; `progress(done, total)` counts clips.

    Ctrl-C ends the check after the clips that are done; it is raised where there are none.
    """
    found = map_clips(partial(_seconds, plan), source, IMG_SIZE, workers=workers, progress=progress)
    report = CheckReport([])
    try:
        for name, result in zip(source.names, found, strict=True):
            report.clips.append(
                ClipCheck(legible(name), reason=result.reason, error=str(result))
                if isinstance(result, MediaError)
                else ClipCheck(legible(name), result)
            )
    except KeyboardInterrupt as interrupt:
        if not report.clips:
            raise
        return replace(report, ended_by=type(interrupt))
    return report


def _seconds(plan: SamplePlan, clip: Clip) -> float:
    """Return the duration of the clip. Raises MediaError for a clip with too few usable instants."""
    usable_instants(clip, plan)
    return float(clip.pts_seconds[-1] - clip.pts_seconds[0])
