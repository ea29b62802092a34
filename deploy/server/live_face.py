"""The face that a live stream is judged on, for the live page: a picture, and the last seconds of mouth and sound."""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.picture import FacePicture, face_picture
from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.records import SyncScore

SPAN_SECONDS = 10.0
MAX_ROWS = 1000
"""Ten seconds of three faces, with room for other rates."""
PICTURE_SECONDS = 1.0
"""Shortest time between two pictures."""
LOOKED_AT_SECONDS = 5.0
"""Pictures are made only for so long after somebody asked for one."""


class LiveFace:
    """Give `see` and `add` to a scorer, and call `judged` with its decisions. Safe to use from several threads.

    Memory: `MAX_ROWS` short rows and one JPEG of about 10 kB, which is never written to a disk.

    Args:
        has_pictures: whether pictures may be made at all.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, *, has_pictures: bool, now: Callable[[], float] = time.monotonic) -> None:
        self._has_pictures = has_pictures
        self._now = now
        self._lock = threading.Lock()
        self._asked_at = self._made_at = -np.inf
        self.clear()

    def clear(self) -> None:
        """Forget everything: another stretch of the stream begins."""
        with self._lock:
            self._rows: deque[tuple[int, float, float, float]] = deque(maxlen=MAX_ROWS)
            self._picture: FacePicture | None = None
            self._judged: int | None = None

    def see(self, frame: NDArray[np.uint8], time_seconds: float, faces: list[Face]) -> None:
        """Make a picture of the frame (H, W, 3) if one is due and somebody looks."""
        now = self._now()
        with self._lock:
            is_due = now - self._made_at >= PICTURE_SECONDS and now - self._asked_at <= LOOKED_AT_SECONDS
            if not (self._has_pictures and is_due):
                return
            self._made_at = now
            track = self._track()
        chosen = next((face for face in faces if face.track == track), faces[0])
        picture = face_picture(frame, time_seconds, faces, chosen)
        with self._lock:
            self._picture = picture

    def add(self, row: FaceRow) -> None:
        """Add the next row of a face."""
        with self._lock:
            if self._rows and row.time_seconds < self._rows[-1][1] - SPAN_SECONDS:
                # The clock was set back.
                self._rows.clear()
            self._rows.append((row.track, row.time_seconds, row.look.mouth_opening, row.sound_dbfs))
            self._drop_before(row.time_seconds - SPAN_SECONDS)

    def judged(self, score: SyncScore) -> None:
        """Note which face a decision chose."""
        with self._lock:
            self._judged = None if score.face is None else score.face.track
            self._drop_before(score.time_seconds - SPAN_SECONDS)
            if not self._rows:
                self._picture = None

    @property
    def is_seen(self) -> bool:
        """Whether a face was seen in the last seconds."""
        with self._lock:
            return bool(self._rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known as JSON, and have pictures made for some seconds.

        `picture` is a data URI or null; the lists have an entry per moment of the face, null where sound is missing.
        """
        with self._lock:
            self._asked_at = self._now()
            track, picture = self._track(), self._picture
            rows = [row[1:] for row in self._rows if row[0] == track]
        return {
            "track": track,
            "picture": None if picture is None else _data_uri(picture),
            "picture_seconds": None if picture is None else round(picture.time_seconds, 3),
            "times_seconds": [round(seconds, 3) for seconds, _, _ in rows],
            "mouth_opening": [round(opening, 4) for _, opening, _ in rows],
            "sound_dbfs": [round(level, 1) if np.isfinite(level) else None for _, _, level in rows],
        }

    def _drop_before(self, time_seconds: float) -> None:
        while self._rows and self._rows[0][1] < time_seconds:
            self._rows.popleft()

    def _track(self) -> int | None:
        """The face of the last decision while it is there, else the one that is seen most."""
        counts = Counter(row[0] for row in self._rows)
        if self._judged in counts:
            return self._judged
        return max(counts, key=lambda track: (counts[track], -track), default=None)


def _data_uri(picture: FacePicture) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode("ascii")
