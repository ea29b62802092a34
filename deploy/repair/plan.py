"""What a copy does with the streams of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer

from cavsync.deploy.repair.programme import Programme
from cavsync.media.container import is_cover


@dataclass(frozen=True)
class Plan:
    """Delays by stream index, the programme to keep, and the indices of streams to leave out and to stretch."""

    delays_seconds: Mapping[int, Fraction]
    programme: Programme | None = None
    left_out: frozenset[int] = frozenset()
    stretched: frozenset[int] = frozenset()

    def video_delay_seconds(self, container: InputContainer) -> Fraction:
        """Return the delay of the first video that is not a cover."""
        video = next(stream.index for stream in container.streams.video if not is_cover(stream))
        return self.delays_seconds.get(video, Fraction(0))
