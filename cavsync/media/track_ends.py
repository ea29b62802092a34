"""Compare where tracks end with what their container declares, to detect truncated files.

A track that starts late, or ends before another, is no damage. Declared durations are used only where the writer states
them after the fact: of a track itself (ISO files, AVI, MXF ...), or of a whole Matroska file. FLV is written with a
guess, and of transport and programme streams FFmpeg only reads the last timestamps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import av
from av.container import InputContainer
from av.format import Flags
from av.stream import Stream

from cavsync.errors import MediaError

MISSING_SECONDS, MISSING_SHARE = 1.0, 0.05
"""A file lacks its end if it stops earlier than declared by more than both, seconds and share of the declared end."""
GUESSED_FORMATS = frozenset({"flv", "live_flv"})
CLOCK_TEXT = re.compile(r"(\d+):(\d{2}):(\d{2}(?:\.\d*)?)")


@dataclass(frozen=True)
class MissingEnd:
    """A file that stops before its end; seconds on the container's clock, counted from its start.

    `declared_seconds` is None where only damage shows it.
    """

    found_seconds: float
    declared_seconds: float | None

    def __str__(self) -> str:
        if self.declared_seconds is None:
            return f"it breaks off within a packet after {self.found_seconds:.1f} s"
        return f"it ends after {self.found_seconds:.1f} s of the {self.declared_seconds:.1f} s that its header declares"


class TrackEnds:
    """Ends of all tracks of `container`, by the packets given to `add` in the order of the file."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self._ends: dict[int, float] = {}
        self._is_cut_off = False

    def add(self, packet: av.Packet[Stream]) -> None:
        """Note a packet of any track."""
        if not packet.size:
            return
        self._is_cut_off = packet.is_corrupt
        time = packet.dts if packet.pts is None else packet.pts
        if time is not None:
            end_seconds = float((time + (packet.duration or 0)) * packet.time_base)
            self._ends[packet.stream_index] = max(self._ends.get(packet.stream_index, end_seconds), end_seconds)

    def missing(self, tracks: Iterable[Stream]) -> MissingEnd | None:
        """Return how the file was cut off, judged by these tracks and the whole; None if it is complete."""
        start_seconds = (self._container.start_time or 0) / av.time_base
        file_end_seconds = max(self._ends.values(), default=start_seconds)
        if is_spliced(self._container):
            return None
        pairs = [(self._ends.get(track.index, start_seconds), _declared_end_seconds(track)) for track in tracks]
        pairs.append((file_end_seconds, self._declared_end_seconds()))
        for found, declared in pairs:
            if declared is not None and _is_missing(found - start_seconds, declared - start_seconds):
                return MissingEnd(found - start_seconds, declared - start_seconds)
        return MissingEnd(file_end_seconds - start_seconds, None) if self._is_cut_off else None

    def doubt(self) -> str | None:
        """Return a sentence about a duration that may be a guess and exceeds what the file holds; None if it fits."""
        container = self._container
        if container.duration is None or not set(container.format.name.split(",")) & GUESSED_FORMATS:
            return None
        start_seconds = (container.start_time or 0) / av.time_base
        found_seconds = max(self._ends.values(), default=start_seconds) - start_seconds
        declared_seconds = container.duration / av.time_base
        if not _is_missing(found_seconds, declared_seconds):
            return None
        return (
            f"the header declares {declared_seconds:.1f} s, but the file ends after {found_seconds:.1f} s: it was cut "
            "off, unless its header is wrong"
        )

    def _declared_end_seconds(self) -> float | None:
        """Return the end of the whole file where no track declares its own."""
        container = self._container
        names = set(container.format.name.split(","))
        if container.duration is None or names & GUESSED_FORMATS:
            return None
        seconds = container.duration / av.time_base
        if "matroska" in names:
            # The end on the clock, to some muxers less what precedes the first packet.
            return seconds
        if any(track.duration is not None for track in container.streams):
            return None
        return (container.start_time or 0) / av.time_base + seconds


def is_spliced(container: InputContainer) -> bool:
    """Return whether the format's times may jump, as those of transport and programme streams."""
    # PyAV's stubs declare the value of a flag as a flag.
    return bool(container.format.flags & cast("int", Flags.ts_discont.value))


def _declared_end_seconds(track: Stream) -> float | None:
    if track.duration is not None and track.time_base is not None:
        return float(((track.start_time or 0) + track.duration) * track.time_base)
    # Matroska; a tag of the whole file's form, an end on the clock or less.
    found = CLOCK_TEXT.fullmatch(track.metadata.get("DURATION", ""))
    return None if found is None else 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])


def _is_missing(found_seconds: float, declared_seconds: float) -> bool:
    return declared_seconds - found_seconds > max(MISSING_SECONDS, MISSING_SHARE * declared_seconds)


def require_end(source: str, missing: MissingEnd | None, remedy: str) -> None:
    """Raise MediaError if a file was cut off."""
    if missing is not None:
        raise MediaError(f"{source} is truncated ({missing}): {remedy}", reason="truncated")
