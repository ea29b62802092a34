"""What a decision says: the record whose field names are a contract with every reader."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cavsync.deploy.verdict.curve import Curve

IN_SYNC = "in_sync"
AUDIO_EARLY = "audio_early"
AUDIO_LATE = "audio_late"
UNDETERMINED = "undetermined"
STATES = (IN_SYNC, AUDIO_EARLY, AUDIO_LATE, UNDETERMINED)

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
)
DECIMALS = {"_seconds": 3, "_ms": 1, "similarity": 4, "confidence": 4}


@dataclass(frozen=True)
class SyncScore:
    """One decision about the `window_seconds` that end at `time_seconds`.

    `audio_offset_ms > 0` means that the audio is early, so delaying it by `suggested_audio_delay_ms` repairs it
    (ITU-R BT.1359). Numbers without evidence are None. `state` is one of `STATES`; `reason` says in one sentence why
    a decision is undetermined. `is_measured` tells that the offset is trusted, even where the state is undetermined
    because the offset lies too near a limit; otherwise it is the best match and no more, and no delay is suggested.
    `is_varying` tells of a whole file whose offset is not one number. `curve` and `features` are what the decision
    rests on; they are not serialised.
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
    is_measured: bool = False
    is_varying: bool = False
    curve: Curve | None = field(default=None, repr=False, compare=False)
    features: dict[str, float] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it: sensibly rounded, None for what is not known or not finite."""
        return {name: rounded(name, getattr(self, name)) for name in RECORD_FIELDS}


def rounded(name: str, value: Any) -> Any:
    """Round a field for output by the unit in its name: seconds to 1 ms, ms to 0.1, ratios to 0.0001."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    for ending, decimals in DECIMALS.items():
        if name.endswith(ending):
            # Adding zero turns -0.0 into 0.0.
            return round(value, decimals) + 0.0
    return value
