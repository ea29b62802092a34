"""The state of one live stream: latest decision, bounded history and events, as reported by its scorer."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from cavsync.deploy.metrics import SyncMetrics
from cavsync.deploy.server.live_face import LiveFace
from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.verdict.events import BEGAN, EventChange, EventTracker
from cavsync.deploy.verdict.profiles import Profile
from cavsync.deploy.verdict.records import STATES, SyncScore, rounded
from cavsync.deploy.verdict.trend import RecentDrift
from cavsync.deploy.verdict.words import STATE_WORDS, headline

KEPT_DECISIONS = 600
KEPT_EVENTS = 100

LIVE, LOST, ENDED = "live", "lost", "ended"


class LiveStream:
    """One named stream across successive connections. Safe to use from several threads.

    Args:
        name: unique among the streams of a server.
        source: `pushed` for a WebSocket, or the watched address without its secrets.
        metrics: count the decisions.
        publish: called with each message for the live pages; see `feed`.
    """

    def __init__(self, name: str, source: str, metrics: SyncMetrics, publish: Callable[[dict[str, Any]], None]) -> None:
        self.name = name
        self.source = source
        self.state = LIVE
        self.error: str | None = None
        self.heard_monotonic = time.monotonic()
        self._metrics = metrics
        self._publish = publish
        self._lock = threading.Lock()
        self._decisions: deque[dict[str, Any]] = deque(maxlen=KEPT_DECISIONS)
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT_EVENTS)
        self._counts = dict.fromkeys(STATES, 0)
        self._tracker = EventTracker()
        self._drift = RecentDrift()
        self._alarm: dict[str, Any] | None = None
        self._profile = Profile("", None, None)
        self._frame_period_seconds = math.nan
        self._face: LiveFace | None = None

    def begin(self, profile: Profile, face: LiveFace) -> None:
        """Start a connection, or another one under the same name, whose decisions are judged by `profile`.

        face: what its scorer tells of faces.
        """
        with self._lock:
            self.state, self.error = LIVE, None
            self._face = face
            self._profile, self._frame_period_seconds = profile, math.nan
            self._tracker = EventTracker()
            self._drift.clear()
            self._alarm = None
        self._publish({"type": "stream", "stream": self.status()})

    def decide(
        self, score: SyncScore, *, delay_seconds: float | None, frame_period_seconds: float = math.nan
    ) -> list[EventChange]:
        """Record a decision and return the events that begin or end with it.

        `delay_seconds` is the time from the arrival of the frame at the window's end to the decision.
        """
        self._metrics.observe(self.name, score)
        if self._face is not None:
            self._face.judged(score)
        with self._lock:
            self._frame_period_seconds = frame_period_seconds
            self._counts[score.state] += 1
            changes = self._tracker.update(score)
            self._decisions.append(_decision(score, delay_seconds))
            self._drift.add(score)
            self._note(changes)
            decision = self._decisions[-1]
        self._publish({"type": "decision", "stream": self.status(), "decision": decision})
        return changes

    def end(self, state: str, error: str | None = None) -> list[EventChange]:
        """End the connection and any event in progress; returns the events that end."""
        with self._lock:
            last_seconds = self._decisions[-1]["time_seconds"] if self._decisions else 0.0
            changes = self._tracker.finish(last_seconds)
            self._note(changes)
            self.state, self.error = state, error
        self._publish({"type": "stream", "stream": self.status()})
        return changes

    def begin_stretch(self) -> None:
        """Start a stretch with a new clock or after a gap; events in progress continue."""
        with self._lock:
            self._drift.clear()
        if self._face is not None:
            self._face.clear()
        self.note_problem(None)

    def note_problem(self, problem: str | None) -> None:
        """Set why nothing arrives at present; None clears it."""
        with self._lock:
            if problem == self.error:
                return
            self.error = problem
        self._publish({"type": "stream", "stream": self.status()})

    def hear(self) -> None:
        """Note that something arrived from the sender."""
        self.heard_monotonic = time.monotonic()

    @property
    def silent_seconds(self) -> float:
        """Time since anything arrived from the sender."""
        return time.monotonic() - self.heard_monotonic

    def status(self) -> dict[str, Any]:
        """Return the current state of the stream as JSON, as shown on its card."""
        with self._lock:
            latest = self._decisions[-1] if self._decisions else None
            early_ms, late_ms = self._profile.limits_ms(self._frame_period_seconds)
            return {
                "name": self.name,
                "source": self.source,
                "state": self.state,
                "error": self.error,
                "silent_seconds": round(self.silent_seconds, 1),
                "profile": self._profile.name,
                "early_limit_ms": rounded("_ms", early_ms),
                "late_limit_ms": rounded("_ms", late_ms),
                "alarm": self._alarm,
                "windows": dict(self._counts),
                "drift_ms_per_minute": rounded("_ms", self._drift.ms_per_minute),
                "has_face": self._face is not None and self._face.is_seen,
                "latest": None if latest is None else {key: latest[key] for key in latest if key != "curve"},
            }

    def past(self) -> dict[str, Any]:
        """Return the status plus the kept decisions and events, oldest first."""
        status = self.status()
        with self._lock:
            return {**status, "decisions": list(self._decisions), "events": list(self._events)}

    def face(self) -> dict[str, Any]:
        """Return the face that the stream is judged on (see `LiveFace`); RefusalError before the stream has begun."""
        if self._face is None:
            raise RefusalError(404, f"the stream {self.name} has not begun: ask again later")
        return self._face.to_dict()

    def _note(self, changes: list[EventChange]) -> None:
        for change in changes:
            noted = {**change.to_dict(), "words": STATE_WORDS[change.state], "unix_seconds": round(time.time(), 3)}
            self._alarm = noted if change.phase == BEGAN else None
            self._events.append(noted)
            self._publish({"type": "event", "name": self.name, "event": noted})


def _decision(score: SyncScore, delay_seconds: float | None) -> dict[str, Any]:
    """Return a decision with the texts and the curve that the page shows."""
    return {
        **score.to_dict(),
        "is_measured": score.is_measured,
        "headline": headline(score),
        "delay_seconds": rounded("_seconds", delay_seconds),
        "unix_seconds": round(time.time(), 3),
        "curve": _curve(score),
    }


def _curve(score: SyncScore) -> dict[str, Any] | None:
    """Return similarity by audio offset (the negative lag), ascending; None if no lag could be compared."""
    if score.curve is None or not np.isfinite(score.curve.similarity).any():
        return None
    similarity = [rounded("similarity", float(value)) for value in score.curve.similarity[::-1]]
    return {
        "from_ms": round(float(-score.curve.lags_ms[-1]), 1) + 0.0,
        "to_ms": round(float(-score.curve.lags_ms[0]), 1) + 0.0,
        "similarity": similarity,
    }
