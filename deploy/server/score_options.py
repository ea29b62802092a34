"""How a client wants a file or a stream to be judged."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.profiles import resolve_profile

# What a stranger may ask for: longer windows, wider ranges and finer looks cost memory and time.
MAX_WINDOW_SECONDS = 60.0
MAX_RANGE_MS = 5_000.0
MAX_FRAME_RATE_HZ = 60.0


class ScoreOptions(BaseModel):
    """Options of a score; what is left out is the bundle's or the server's own."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    profile: str | None = Field(None, description="Limits of what counts as in sync, by name.")
    early_ms: float | None = Field(None, description="With the profile custom: how early the audio may be.")
    late_ms: float | None = Field(None, description="With the profile custom: how late the audio may be.")
    window_seconds: float | None = Field(None, gt=0, le=MAX_WINDOW_SECONDS, description="Length of a window.")
    max_offset_ms: float | None = Field(None, gt=0, le=MAX_RANGE_MS, description="Search range to either side.")
    frame_rate_hz: float | None = Field(
        None, gt=0, le=MAX_FRAME_RATE_HZ, description="Frames looked at per second; fewer cost less."
    )
    hop_ms: float | None = Field(
        None, gt=0, le=MAX_RANGE_MS, description="Step of the search, a multiple of 10; longer ones cost less."
    )
    adaptive: bool | None = Field(None, description="Search coarsely, then track the offset that was found.")

    def resolved(self, bundle: Bundle, defaults: dict[str, Any]) -> dict[str, Any]:
        """Options of `SyncScorer`: `defaults` (see `ServerSettings.scoring`) with what was asked for in their place.

        Raises:
            ConfigError: a profile, window, range or step that cannot be used with this bundle.
        """
        asked = self.model_dump(include=set(defaults) - {"profile"}, exclude_none=True)
        profile = defaults["profile"]
        if self.profile is not None or self.early_ms is not None or self.late_ms is not None:
            profile = resolve_profile(self.profile or profile.name, self.early_ms, self.late_ms)
        options = {**defaults, **asked, "profile": profile}
        SyncScorer(bundle, **options)
        return options
