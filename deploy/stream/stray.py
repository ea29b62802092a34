"""Drops isolated timestamp outliers, so that a damaged packet is not mistaken for a clock jump."""

from __future__ import annotations

from typing import Generic, TypeVar

from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS

FOLLOWS_SECONDS = 0.5
"""After a real clock jump, each next piece begins within this distance of the end of the last."""
LONGEST_PACKET_SECONDS = 0.2
"""No audio packet of a common codec is longer."""

Piece = TypeVar("Piece")


class StrayFilter(Generic[Piece]):
    """Holds pieces back whose timestamps jump until those after them show whether the clock or only these jumped.

    What jumps for at most `longest_seconds`, from the start of the first piece to the end of the last, and is followed
    by a piece in line with those before it, is dropped. So it does not matter how audio was cut into pieces.
    """

    def __init__(self, longest_seconds: float) -> None:
        self._longest_seconds = longest_seconds
        self._expected_seconds: float | None = None
        self._held: list[tuple[float, Piece]] = []
        self._held_end_seconds = 0.0
        self.num_dropped = 0

    def push(self, pts_seconds: float, length_seconds: float, piece: Piece) -> list[tuple[float, Piece]]:
        """Add a piece that lasts `length_seconds`; return the accepted pieces with their timestamps."""
        end_seconds = pts_seconds + length_seconds
        passed = []
        follows_held = bool(self._held) and abs(pts_seconds - self._held_end_seconds) < FOLLOWS_SECONDS
        if self._held and not follows_held and not self._is_in_line(pts_seconds):
            passed = self.flush()
        if not follows_held and self._is_in_line(pts_seconds):
            self.num_dropped += len(self._held)
            self._held = []
            self._expected_seconds = end_seconds
            return [*passed, (pts_seconds, piece)]
        if follows_held and length_seconds == 0 and pts_seconds == self._held_end_seconds:
            # A frame at the time of the one before it would be ignored later on. A clock that stands still must not
            # fill the memory.
            self.num_dropped += 1
            return passed
        self._held.append((pts_seconds, piece))
        self._held_end_seconds = end_seconds
        if end_seconds - self._held[0][0] > self._longest_seconds:
            passed += self.flush()
        return passed

    def flush(self) -> list[tuple[float, Piece]]:
        """Release the held pieces, if any, and trust their timestamps."""
        passed, self._held = self._held, []
        if passed:
            self._expected_seconds = self._held_end_seconds
        return passed

    def _is_in_line(self, pts_seconds: float) -> bool:
        expected = self._expected_seconds
        return expected is None or -JUMP_BACK_SECONDS < pts_seconds - expected <= HOLE_SECONDS
