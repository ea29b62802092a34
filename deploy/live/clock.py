"""The sender's clock, which may wrap, jump or restart, mapped to one stream time that never goes back.

Policy: rewrite timestamps. Before decoding, each packet's times get a correction, and a jump in either direction starts
a new clock just after the old one ended. Both tracks always get the same correction, so their offset stays the one that
the sender declares.

`deploy.stream.clock.EpochClock` follows the opposite policy: it serves callers who push decoded frames and audio with
timestamps of their own, keeps those timestamps, follows forward jumps, and counts backward jumps as epochs of each
track, which it pairs afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

WRAP_SECONDS = Fraction(2**33, 90_000)
"""Period of 33-bit timestamps at 90 kHz, as in MPEG-TS and PES (ISO/IEC 13818-1): 26.5 hours."""

BACK_SECONDS = 0.5
"""Largest step back of a track's decoding times that counts as a packet out of order; more is a new clock."""

AHEAD_SECONDS = 10.0
"""Largest step ahead that counts as a gap, as in FFmpeg; more is a new clock."""

SEAM_SECONDS = 1.0
"""Stream time left empty between two clocks, so that no window spans both."""

LEFTOVER_SECONDS = 1.0
"""Time after one track's jump in which the other track may still deliver packets of the old clock."""


@dataclass
class _Track:
    """Clock state of one track; `has_switched` is False while it may still deliver packets of the previous stretch."""

    last_seconds: Fraction | None = None
    wraps: int = 0
    has_switched: bool = True


class SenderClock:
    """Corrections that map packet times on the sender's clock to stream time.

    Call `correction` with the decoding time of every packet in the order of arrival, and add the result to the packet's
    times. `edge_seconds` is the latest stream time so far; it never falls. `stretch` numbers the clocks joined so far:
    packets of one stretch share one unbroken clock.

    Rules:
    - A time that is at most `BACK_SECONDS` before or `AHEAD_SECONDS` after the last one of its track keeps the
      correction.
    - A time that is in this range after adding whole 33-bit wraps is unwrapped first.
    - Any other time starts a new stretch for both tracks, `SEAM_SECONDS` after the edge. Packets of the old clock that
      the other track delivers later are dropped (`correction` returns None).
    """

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}
        self._correction: Fraction | None = None
        self._stretch_start_seconds = Fraction(0)
        self._next_start_seconds = Fraction(0)
        self._edge: Fraction | None = None
        self.stretch = 0

    @property
    def edge_seconds(self) -> float:
        """Latest stream time so far; -inf before the first packet."""
        return -math.inf if self._edge is None else float(self._edge)

    def restart(self, elapsed_seconds: float = 0.0) -> None:
        """Start a new stretch for a new connection, whose clock is unrelated; it was down for `elapsed_seconds`."""
        self._tracks.clear()
        self._correction = None
        if self._edge is not None:
            gap_seconds = max(SEAM_SECONDS, elapsed_seconds)
            self._next_start_seconds = self._edge + Fraction(round(1000 * gap_seconds), 1000)
            self.stretch += 1

    def correction(
        self, kind: str, seconds: Fraction, start_seconds: Fraction | None = None, *, wraps: bool = False
    ) -> Fraction | None:
        """Return the seconds to add to the packet's times; None to drop the packet.

        Args:
            kind: its track, "video" or "audio".
            seconds: its decoding time on the sender's clock.
            start_seconds: start time declared by the container; a connection's stream time counts from it, or else
                from the first packet.
            wraps: whether the container's timestamps have 33 bits.
        """
        track = self._tracks.setdefault(kind, _Track())
        if wraps:
            self._unwrap(track, seconds)
        seconds += track.wraps * WRAP_SECONDS
        if self._correction is None:
            origin = seconds if start_seconds is None else start_seconds
            self._correction = self._next_start_seconds - origin
            self._stretch_start_seconds = seconds
        elif not self._follows(track, seconds):
            if not track.has_switched and abs(seconds - self._other_track_seconds(track)) <= AHEAD_SECONDS:
                track.has_switched = True
            else:
                self._begin_stretch(track, seconds)
        elif not track.has_switched:
            if self._other_track_seconds(track) - self._stretch_start_seconds < LEFTOVER_SECONDS:
                track.last_seconds = seconds
                return None
            track.has_switched = True
        track.last_seconds = seconds
        placed = seconds + self._correction
        self._edge = placed if self._edge is None else max(self._edge, placed)
        return self._correction + track.wraps * WRAP_SECONDS

    def _unwrap(self, track: _Track, seconds: Fraction) -> None:
        """Set the track's number of wraps to the one that brings `seconds` nearest to the previous time."""
        known = [other.last_seconds for other in (track, *self._tracks.values()) if other.last_seconds is not None]
        if not known:
            return
        wraps = round((known[0] - seconds) / WRAP_SECONDS)
        if abs(seconds + wraps * WRAP_SECONDS - known[0]) <= AHEAD_SECONDS:
            track.wraps = wraps

    def _follows(self, track: _Track, seconds: Fraction) -> bool:
        if track.last_seconds is None:
            # The first packet of a track has no predecessor; the sender's clock places it relative to the other track.
            return True
        return -BACK_SECONDS <= seconds - track.last_seconds <= AHEAD_SECONDS

    def _other_track_seconds(self, track: _Track) -> Fraction:
        others = (other.last_seconds for other in self._tracks.values() if other is not track)
        return max((seconds for seconds in others if seconds is not None), default=Fraction(0))

    def _begin_stretch(self, track: _Track, seconds: Fraction) -> None:
        assert self._edge is not None
        self._correction = self._edge + Fraction(SEAM_SECONDS) - seconds
        self._stretch_start_seconds = seconds
        self.stretch += 1
        for other in self._tracks.values():
            other.has_switched = other is track
