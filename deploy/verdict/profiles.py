"""Profiles of allowed offsets: broadcast limits (ITU-R BT.1359-1, EBU R37, ATSC IS-191), one frame, or custom.

Sign: a positive offset means that the audio is early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cavsync.errors import ConfigError

DEFAULT_PROFILE = "itu-bt1359-detect"
ONE_FRAME = "one-frame"
CUSTOM = "custom"

BROADCAST_LIMITS_MS = {
    "itu-bt1359-detect": (45.0, 125.0),
    "itu-bt1359-accept": (90.0, 185.0),
    "ebu-r37": (40.0, 60.0),
    "atsc-is191": (15.0, 45.0),
}
PROFILE_NAMES = (*BROADCAST_LIMITS_MS, ONE_FRAME, CUSTOM)
"""The names that `resolve_profile` takes."""


@dataclass(frozen=True)
class Profile:
    """Allowed offsets: the audio may lead by `early_ms` and lag by `late_ms`, both positive numbers.

    Both are None in the profile `one-frame`, whose limits depend on the frame period; use `limits_ms`.
    """

    name: str
    early_ms: float | None
    late_ms: float | None

    def limits_ms(self, frame_period_seconds: float) -> tuple[float, float]:
        """Return the (early, late) limits in ms; NaN where they depend on the frame period and that is NaN."""
        if self.early_ms is None or self.late_ms is None:
            return 1000 * frame_period_seconds, 1000 * frame_period_seconds
        return self.early_ms, self.late_ms


def resolve_profile(name: str, early_ms: float | None = None, late_ms: float | None = None) -> Profile:
    """Return a profile by name; `early_ms` and `late_ms` are required for `custom` and only allowed there.

    Raises:
        ConfigError: the name is unknown, or the limits are missing, invalid or not allowed.
    """
    if name not in PROFILE_NAMES:
        raise ConfigError(f"profile {name!r} is unknown: choose one of {', '.join(PROFILE_NAMES)}")
    if name != CUSTOM:
        if early_ms is not None or late_ms is not None:
            raise ConfigError(f"profile {name} has its own limits: leave out the early and late limits or use {CUSTOM}")
        early_late = BROADCAST_LIMITS_MS.get(name, (None, None))
        return Profile(name, *early_late)
    for side, limit in (("early", early_ms), ("late", late_ms)):
        if limit is None or not math.isfinite(limit) or limit < 0:
            found = f"has no {side} limit" if limit is None else f"got {limit} as its {side} limit"
            raise ConfigError(f"profile {CUSTOM} {found}: give both limits as milliseconds, zero or more")
    return Profile(CUSTOM, early_ms, late_ms)
