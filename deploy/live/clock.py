"""A sender's clock, which wraps, jumps and starts again, onto one stream time that only goes on.

Video and audio always get the same correction, so that their relation is the one that the sender declares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

WRAP_SECONDS = Fraction(2**33, 90_000)
"""MPEG-TS and PES timestamps have 33 bits at 90 kHz (ISO/IEC 13818-1): they wrap every 26.5 hours."""

BACK_SECONDS = 0.5
"""Decoding times never go back; by less than this it is a packet out of order, by more another clock."""

AHEAD_SECONDS = 10.0
"""A gap up to this is a gap, more is another clock (FFmpeg's own limit is the same)."""

SEAM_SECONDS = 1.0
"""Stream time left between two clocks, so that nothing is compared across."""

LEFTOVER_SECONDS = 1.0
"""How long after a jump of one track the other one may still deliver what it held of the clock before."""


@dataclass
class _Track:
    last_seconds: Fraction | None = None
    wraps: int = 0
    is_settled: bool = True


class SenderClock:
    """Feed the decoding time of every packet in the order of arrival; get the correction to add to all of its times.

    `edge_seconds` is the latest stream time so far and never falls; `stretch` counts the clocks that were joined, so
    that whatever has one number lies on one unbroken clock.

    Rules. A time that follows its track's last one (back by at most `BACK_SECONDS`, ahead by at most `AHEAD_SECONDS`)
    keeps the correction. One that follows after adding or removing a wrap of 33 bits is unwrapped. Anything else is
    another clock: a new stretch begins for both tracks, `SEAM_SECONDS` after the edge. What the other track still held
    of the old clock is left out (`correction` is None).
    """

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}
        self._correction: Fraction | None = None
        self._seam_end_seconds = Fraction(0)
        self._wants_seconds = Fraction(0)
        self._edge: Fraction | None = None
        self.stretch = 0

    @property
    def edge_seconds(self) -> float:
        """The latest stream time so far; -inf before the first packet."""
        return -math.inf if self._edge is None else float(self._edge)

    def restart(self, elapsed_seconds: float = 0.0) -> None:
        """A new connection: its clock has nothing to do with the last one. `elapsed_seconds` is how long none was."""
        self._tracks.clear()
        self._correction = None
        if self._edge is not None:
            gap_seconds = max(SEAM_SECONDS, elapsed_seconds)
            self._wants_seconds = self._edge + Fraction(round(1000 * gap_seconds), 1000)
            self.stretch += 1

    def correction(
        self, kind: str, seconds: Fraction, start_seconds: Fraction | None = None, *, wraps: bool = False
    ) -> Fraction | None:
        """Seconds to add to the times of a packet of track `kind` with decoding time `seconds`; None to leave it out.

        Args:
            kind: "video" or "audio".
            seconds: the packet's decoding time on the sender's clock.
            start_seconds: where the container says that it starts; the first packet of a connection counts from there.
            wraps: the container's clock has 33 bits.
        """
        track = self._tracks.setdefault(kind, _Track())
        if wraps:
            self._unwrap(track, seconds)
        seconds += track.wraps * WRAP_SECONDS
        if self._correction is None:
            origin = seconds if start_seconds is None else start_seconds
            self._correction = self._wants_seconds - origin
            self._seam_end_seconds = seconds
        elif not self._follows(track, seconds):
            if not track.is_settled and self._is_near_others(track, seconds):
                track.is_settled = True
            else:
                self._begin_stretch(track, seconds)
        elif not track.is_settled:
            if self._others_end(track) - self._seam_end_seconds < LEFTOVER_SECONDS:
                track.last_seconds = seconds
                return None
            track.is_settled = True
        track.last_seconds = seconds
        added = track.wraps * WRAP_SECONDS
        placed = seconds + self._correction
        self._edge = placed if self._edge is None else max(self._edge, placed)
        return self._correction + added

    def _unwrap(self, track: _Track, seconds: Fraction) -> None:
        """Choose how often this track's clock has wrapped: as often as brings it nearest to what came before."""
        known = [other.last_seconds for other in (track, *self._tracks.values()) if other.last_seconds is not None]
        if not known:
            return
        wraps = round((known[0] - seconds) / WRAP_SECONDS)
        if abs(seconds + wraps * WRAP_SECONDS - known[0]) <= AHEAD_SECONDS:
            track.wraps = wraps

    def _follows(self, track: _Track, seconds: Fraction) -> bool:
        if track.last_seconds is None:
            # A track's first packet has nothing to follow; its place beside the other one is what the sender says.
            return True
        return -BACK_SECONDS <= seconds - track.last_seconds <= AHEAD_SECONDS

    def _is_near_others(self, track: _Track, seconds: Fraction) -> bool:
        return abs(seconds - self._others_end(track)) <= AHEAD_SECONDS

    def _others_end(self, track: _Track) -> Fraction:
        others = (other.last_seconds for other in self._tracks.values() if other is not track)
        return max((seconds for seconds in others if seconds is not None), default=Fraction(0))

    def _begin_stretch(self, track: _Track, seconds: Fraction) -> None:
        assert self._edge is not None
        self._correction = self._edge + Fraction(SEAM_SECONDS) - seconds
        self._seam_end_seconds = seconds
        self.stretch += 1
        for other in self._tracks.values():
            other.is_settled = other is track
