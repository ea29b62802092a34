"""How a client wants a file or a stream to be judged."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.profiles import Profile, resolve_profile
from cavsync.deploy.scorer import SyncScorer

# What a stranger may ask for: longer windows and wider ranges cost memory and time.
MAX_WINDOW_SECONDS = 60.0
MAX_RANGE_MS = 5_000.0


class ScoreOptions(BaseModel):
    """Options of a score; what is left out is the bundle's or the server's own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    profile: str | None = Field(None, description="Limits of what counts as in sync, by name.")
    early_ms: float | None = Field(None, description="With the profile custom: how early the audio may be.")
    late_ms: float | None = Field(None, description="With the profile custom: how late the audio may be.")
    window_seconds: float | None = Field(None, gt=0, le=MAX_WINDOW_SECONDS, description="Length of a window.")
    max_offset_ms: float | None = Field(None, gt=0, le=MAX_RANGE_MS, description="Search range to either side.")

    def resolved(self, bundle: Bundle, default: Profile) -> dict[str, Any]:
        """Options of `SyncScorer`.

        Raises:
            ConfigError: a profile, window or range that cannot be used with this bundle.
        """
        profile = default
        if self.profile is not None or self.early_ms is not None or self.late_ms is not None:
            profile = resolve_profile(self.profile or default.name, self.early_ms, self.late_ms)
        options: dict[str, Any] = {
            "profile": profile,
            "window_seconds": self.window_seconds,
            "max_offset_ms": self.max_offset_ms,
        }
        SyncScorer(bundle, **options)
        return options
