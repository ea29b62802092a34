"""Drops isolated timestamp outliers, so that a damaged packet is not mistaken for a clock jump."""

from __future__ import annotations

from typing import Generic, TypeVar

from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS

FOLLOWS_SECONDS = 0.5
"""After a real clock jump, the second piece begins within this distance of the end of the first."""

Piece = TypeVar("Piece")


class StrayFilter(Generic[Piece]):
    """Holds back a piece whose timestamp jumps until the next one shows whether the clock or only this piece jumped."""

    def __init__(self) -> None:
        self._expected_seconds: float | None = None
        self._held: tuple[float, float, Piece] | None = None
        self.num_dropped = 0

    def push(self, pts_seconds: float, length_seconds: float, piece: Piece) -> list[tuple[float, Piece]]:
        """Add a piece that lasts `length_seconds`; return the accepted pieces with their timestamps."""
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
        """Release the held piece, if any, and trust its timestamp."""
        if self._held is None:
            return []
        pts_seconds, length_seconds, piece = self._held
        self._held = None
        self._expected_seconds = pts_seconds + length_seconds
        return [(pts_seconds, piece)]

    def _is_in_line(self, pts_seconds: float) -> bool:
        expected = self._expected_seconds
        return expected is None or -JUMP_BACK_SECONDS < pts_seconds - expected <= HOLE_SECONDS
