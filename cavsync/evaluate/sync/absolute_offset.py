"""How far generated sound is from its video, as papers on generated sound report it ("DeSync").

Synchformer's 21 classes (see `offset_classes`), answered for the first and for the last 4.8 s of a clip; the mean of
the two absolute offsets, whatever the truth. Source: arXiv 2401.16423, and MMAudio, arXiv 2412.15322.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy import Bundle
from cavsync.deploy.stream.rows import Row
from cavsync.evaluate.sync.clip_rows import embed_clip
from cavsync.evaluate.sync.offset_classes import SEARCH_MS, answered_class, class_offset_ms

WINDOW_SECONDS = 4.8
AbsoluteOffsets = dict[str, "AbsoluteOffset"]


@dataclass(frozen=True)
class AbsoluteOffset:
    """The classes of the first and the last window, None without enough evidence."""

    first: int | None
    last: int | None

    @property
    def answered(self) -> tuple[float, ...]:
        """The absolute offsets in seconds of the windows with evidence."""
        return tuple(abs(class_offset_ms(number)) / 1000 for number in (self.first, self.last) if number is not None)

    @property
    def seconds(self) -> float | None:
        """Their mean; None without evidence in either window."""
        return sum(self.answered) / len(self.answered) if self.answered else None


def absolute_offsets(bundles: dict[str, Bundle], path: Path) -> AbsoluteOffsets:
    """Return the answer of each bundle (by name; the whole picture) to a clip as it is.

    Raises MediaError for a clip that cannot be read.
    """
    return {name: _answer(bundle, path) for name, bundle in bundles.items()}


def _answer(bundle: Bundle, path: Path) -> AbsoluteOffset:
    clip = embed_clip(bundle, path, max_lag_ms=SEARCH_MS + bundle.manifest.sync.hop_ms)
    end_seconds = max(row.time_seconds for row in clip.rows)

    def of(rows: list[Row]) -> int | None:
        found = answered_class(bundle, rows, clip.lags_ms, 0.0)
        return None if found is None else found.number

    return AbsoluteOffset(
        of([row for row in clip.rows if row.time_seconds - clip.rows[0].time_seconds <= WINDOW_SECONDS]),
        of([row for row in clip.rows if end_seconds - row.time_seconds <= WINDOW_SECONDS]),
    )
