"""The status record of a watched stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cavsync.deploy.verdict.records import rounded

CONNECTED = "connected"
WAITING = "waiting"
RUNNING = "running"
ENDED = "ended"


@dataclass(frozen=True)
class LiveStatus:
    """State of a watched stream at `time_seconds`, its live edge (None before the first packet).

    `phase` is `connected` (a new clock begins), `waiting` (for the next try), `running` or `ended`; `message` gives the
    reason. `lag_seconds` is how far the last decision is behind the live edge; it is never zero, because a decision
    needs the audio of the whole search range. `drift_ms_per_minute` is the drift over the last ten minutes. The others
    are totals since the start: time and packets dropped by a full queue, damaged packets, connections after the first.
    """

    phase: str
    time_seconds: float | None
    message: str
    lag_seconds: float | None = None
    drift_ms_per_minute: float | None = None
    dropped_seconds: float = 0.0
    dropped_packets: int = 0
    damaged_packets: int = 0
    reconnects: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the status as a JSON object, rounded."""
        return {"kind": "status", **{name: rounded(name, value) for name, value in vars(self).items()}}
