"""The scorer of one WebSocket stream: chunks in, messages out, one chunk at a time in a thread."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.server.chunks import PushedFrame, parse_chunk
from cavsync.deploy.server.live_face import LiveFace
from cavsync.deploy.server.live_stream import ENDED, LiveStream
from cavsync.deploy.stream.limits import HOLE_SECONDS, JUMP_BACK_SECONDS
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import BundleError, CavsyncError

Message = dict[str, Any]
MAX_ARRIVALS = 10_000
# A window ends where a frame begins, and containers round that frame's timestamp to a millisecond.
TOLERANCE_SECONDS = 1e-3


class PushedStream:
    """Score the chunks of a connection and report to its `LiveStream`."""

    def __init__(self, bundle: Bundle, stream: LiveStream, options: ScoringOptions, face: LiveFace) -> None:
        options = options.for_live(bundle.manifest.sync)
        self._scorer = SyncScorer(bundle, options, on_faces=face.see, on_face_row=face.add)
        self._face = face
        self._stream = stream
        # (timestamp, arrival time) of recent frames, from which the delay of a decision is computed.
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=MAX_ARRIVALS)
        self._period_seconds = math.nan
        stream.begin(self._scorer.profile, face)

    def hello(self) -> Message:
        """Return the `ready` message with the settings in force."""
        return {
            "kind": "ready",
            "stream": self._stream.name,
            "profile": self._scorer.profile.name,
            "window_seconds": self._scorer.window_seconds,
            "max_offset_ms": self._scorer.max_offset_ms,
        }

    def push(self, message: bytes) -> list[Message]:
        """Score one chunk; an unusable chunk returns an error message and changes nothing."""
        arrived_monotonic = time.monotonic()
        try:
            chunk = parse_chunk(message)
            if isinstance(chunk, PushedFrame):
                scores = self._scorer.push_video(chunk.rgb, pts_seconds=chunk.pts_seconds)
            else:
                scores = self._scorer.push_audio(
                    chunk.samples, pts_seconds=chunk.pts_seconds, sample_rate_hz=chunk.sample_rate_hz
                )
        except BundleError:
            raise
        except CavsyncError as error:
            return [{"kind": "error", "error": str(error)}]
        if isinstance(chunk, PushedFrame):
            self._note_arrival(chunk.pts_seconds, arrived_monotonic)
        return self._messages(scores)

    def reset(self) -> list[Message]:
        """Forget everything pushed so far; timestamps may restart."""
        self._scorer.reset()
        self._arrivals.clear()
        self._period_seconds = math.nan
        self._face.clear()
        self._stream.begin(self._scorer.profile, self._face)
        return [self.hello()]

    def flush(self) -> list[Message]:
        """End the stream and return the remaining decisions and events."""
        messages = self._messages(self._scorer.flush())
        messages += [change.to_dict() for change in self._stream.end(ENDED)]
        return [*messages, {"kind": "ended"}]

    def _messages(self, scores: list[SyncScore]) -> list[Message]:
        messages: list[Message] = []
        for score in scores:
            delay_seconds = self._delay_seconds(score.time_seconds)
            changes = self._stream.decide(score, delay_seconds=delay_seconds, frame_period_seconds=self._period_seconds)
            messages.append({"kind": "window", **score.to_dict()})
            messages += [change.to_dict() for change in changes]
        return messages

    def _note_arrival(self, pts_seconds: float, arrived_monotonic: float) -> None:
        if self._arrivals:
            step_seconds = pts_seconds - self._arrivals[-1][0]
            if not -JUMP_BACK_SECONDS < step_seconds <= HOLE_SECONDS:
                # A clock jump or a stray timestamp: earlier arrivals say nothing about later frames.
                self._arrivals.clear()
            elif step_seconds > 0:
                self._period_seconds = step_seconds
            else:
                # The scorer ignores a frame out of order.
                return
        self._arrivals.append((pts_seconds, arrived_monotonic))

    def _delay_seconds(self, end_seconds: float) -> float | None:
        """Return the time since the frame at the window's end arrived; None if the stream ended before it."""
        while self._arrivals and self._arrivals[0][0] < end_seconds - TOLERANCE_SECONDS:
            self._arrivals.popleft()
        return time.monotonic() - self._arrivals[0][1] if self._arrivals else None
