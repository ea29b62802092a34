"""How a watched stream is doing: what a status line says."""

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
    """The state of a watched stream at `time_seconds`, its live edge (None before anything came).

    `phase` is `connected` (what follows lies on a fresh clock), `waiting` (for the next try), `running` or `ended`;
    `message` says why. `lag_seconds` is how far the last decision is behind the live edge; a decision needs the audio
    of the search range, so it is never zero. `drift_ms_per_minute` is that of the recent minutes. The rest are counts
    since the beginning: what the full queue dropped, damaged packets, connections after the first.
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
        """The status as JSON holds it."""
        return {
            "kind": "status",
            "phase": self.phase,
            "time_seconds": rounded("_seconds", self.time_seconds),
            "message": self.message,
            "lag_seconds": rounded("_seconds", self.lag_seconds),
            "drift_ms_per_minute": rounded("_ms", self.drift_ms_per_minute),
            "dropped_seconds": rounded("_seconds", self.dropped_seconds),
            "dropped_packets": self.dropped_packets,
            "damaged_packets": self.damaged_packets,
            "reconnects": self.reconnects,
        }
