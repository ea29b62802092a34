"""One piece with a timestamp out of line, as damaged packets have, must not pass for a jump of the clock."""

from __future__ import annotations

from typing import Generic, TypeVar

from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS

FOLLOWS_SECONDS = 0.5
"""The next piece after a jump begins this near to where the first one ended, if it was one."""

Piece = TypeVar("Piece")


class StrayFilter(Generic[Piece]):
    """Holds a piece back whose timestamp jumps, until the next one says whether the clock jumped or only this piece."""

    def __init__(self) -> None:
        self._expected_seconds: float | None = None
        self._held: tuple[float, float, Piece] | None = None
        self.num_dropped = 0

    def push(self, pts_seconds: float, length_seconds: float, piece: Piece) -> list[tuple[float, Piece]]:
        """Add a piece that lasts `length_seconds`; returns those that are in line by now, with their timestamps."""
        held_end_seconds = None if self._held is None else self._held[0] + self._held[1]
        follows_held = held_end_seconds is not None and abs(pts_seconds - held_end_seconds) < FOLLOWS_SECONDS
        passed = []
        if self._held is not None and (follows_held or not self._is_in_line(pts_seconds)):
            passed = self.flush()
        if not self._is_in_line(pts_seconds):
            self._held = (pts_seconds, length_seconds, piece)
            return passed
        self.num_dropped += self._held is not None
        self._held = None
        self._expected_seconds = pts_seconds + length_seconds
        return [*passed, (pts_seconds, piece)]

    def flush(self) -> list[tuple[float, Piece]]:
        """The piece that is held back, if any: it is taken at its word."""
        if self._held is None:
            return []
        pts_seconds, length_seconds, piece = self._held
        self._held = None
        self._expected_seconds = pts_seconds + length_seconds
        return [(pts_seconds, piece)]

    def _is_in_line(self, pts_seconds: float) -> bool:
        expected = self._expected_seconds
        return expected is None or -JUMP_BACK_SECONDS < pts_seconds - expected <= HOLE_SECONDS
