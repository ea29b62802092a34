"""The record of a decision, whose field names are a contract with all readers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from cavsync.deploy.verdict.curve import Curve
from cavsync.deploy.verdict.face_view import FaceView

IN_SYNC = "in_sync"
AUDIO_EARLY = "audio_early"
AUDIO_LATE = "audio_late"
UNDETERMINED = "undetermined"
STATES = (IN_SYNC, AUDIO_EARLY, AUDIO_LATE, UNDETERMINED)
FACE = "face"
WHOLE = "whole"

RECORD_FIELDS = (
    "time_seconds",
    "window_seconds",
    "audio_offset_ms",
    "offset_resolution_ms",
    "suggested_audio_delay_ms",
    "similarity",
    "confidence",
    "state",
    "profile",
    "within_profile",
    "reason",
    "path",
)
DECIMALS = {"_seconds": 3, "_ms": 1, "_ms_per_minute": 1, "_share": 4, "similarity": 4, "confidence": 4}


@dataclass(frozen=True)
class SyncScore:
    """One decision about the `window_seconds` that end at `time_seconds`.

    `audio_offset_ms > 0` means that the audio is early; delaying it by `suggested_audio_delay_ms` repairs it
    (ITU-R BT.1359). Numbers without evidence are None. `state` is one of `STATES`; `reason` is a sentence on why a
    decision is undetermined. `is_measured` means that the offset is trusted, even where the state is undetermined
    because the offset lies too close to a limit; otherwise the offset is only the best match, and no delay is
    suggested. `is_varying` marks a whole file whose offset is not constant. `path` says what the
    decision rests on, `face` or `whole` picture.

    Not serialised: `curve` and `features`, the decision's basis; `face`, the face of the highest confidence; `faces`,
    the decision of each face by itself.
    """

    time_seconds: float
    window_seconds: float
    audio_offset_ms: float | None
    offset_resolution_ms: float | None
    suggested_audio_delay_ms: float | None
    similarity: float | None
    confidence: float | None
    state: str
    profile: str
    within_profile: bool | None
    reason: str | None = None
    path: str = WHOLE
    is_measured: bool = False
    is_varying: bool = False
    curve: Curve | None = field(default=None, repr=False, compare=False)
    features: dict[str, float] | None = field(default=None, repr=False, compare=False)
    face: FaceView | None = field(default=None, repr=False, compare=False)
    faces: tuple[SyncScore, ...] = field(default=(), repr=False, compare=False)

    def without_basis(self) -> SyncScore:
        """Return the decision without what it rests on, which takes a hundred times as much memory."""
        return replace(self, curve=None, features=None, face=None, faces=())

    def without_curves(self) -> SyncScore:
        """Return the decision, and those of its faces, without curves and features: a quarter of the memory."""
        faces = tuple(face.without_curves() for face in self.faces)
        return replace(self, curve=None, features=None, faces=faces)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a JSON object: rounded, None for unknown or non-finite values."""
        return {name: rounded(name, getattr(self, name)) for name in RECORD_FIELDS}


def rounded(name: str, value: Any) -> Any:
    """Return a field's value rounded by the unit in its name: seconds to 1 ms, ms to 0.1, ratios to 0.0001."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    for ending, decimals in DECIMALS.items():
        if name.endswith(ending):
            # Adding zero turns -0.0 into 0.0.
            return round(value, decimals) + 0.0
    return value
