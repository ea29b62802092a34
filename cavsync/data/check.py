"""Which clips of a source would be used, and which rejected, and why; found by loading each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

from cavsync.data.preload import one_thread
from cavsync.data.sampling import SamplePlan, usable_instants
from cavsync.data.sources.clips import ClipSource
from cavsync.errors import MediaError

# Large enough that the arithmetic of loading stays the same, small enough not to matter.
IMG_SIZE = 32
CHUNK_CLIPS = 4


@dataclass(frozen=True)
class ClipCheck:
    """One clip: its length where it loads, else why it would be rejected (`reason` to count, `error` to read)."""

    name: str
    seconds: float = 0.0
    reason: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class CheckReport:
    """All clips of a source, in its order."""

    clips: list[ClipCheck]

    @property
    def rejected(self) -> list[ClipCheck]:
        """Clips that would be rejected."""
        return [clip for clip in self.clips if clip.reason is not None]

    @property
    def reasons(self) -> Counter[str]:
        """Number of rejects by reason."""
        return Counter(clip.reason for clip in self.clips if clip.reason is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "clips": len(self.clips),
            "rejected": len(self.rejected),
            "reasons": dict(self.reasons),
            "seconds": round(sum(clip.seconds for clip in self.clips), 3),
            "rejects": [asdict(clip) for clip in self.rejected],
        }


def check_source(
    source: ClipSource, plan: SamplePlan, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Load every clip and draw its instants; `progress(done, total)` is called as clips are done."""
    jobs = [(source, index, plan) for index in range(len(source.names))]
    clips: list[ClipCheck] = []
    with ProcessPoolExecutor(max(1, workers), mp_context=get_context("spawn"), initializer=one_thread) as pool:
        for clip in pool.map(_check, jobs, chunksize=CHUNK_CLIPS):
            clips.append(clip)
            if progress is not None:
                progress(len(clips), len(jobs))
    return CheckReport(clips)


def _check(job: tuple[ClipSource, int, SamplePlan]) -> ClipCheck:
    source, index, plan = job
    name = source.names[index]
    try:
        clip = source.load(index, IMG_SIZE)
        usable_instants(clip, plan)
    except MediaError as error:
        return ClipCheck(name, reason=error.reason, error=str(error))
    return ClipCheck(name, seconds=float(clip.pts_seconds[-1] - clip.pts_seconds[0]))
