"""The scoring options that a client may send, and their conversion to `ScoringOptions`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cavsync.deploy.server.refusals import RefusalError
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.manifest import Manifest
from cavsync.records import problem

# Stricter than `ScoringOptions`: long windows, wide ranges and high frame rates cost memory and time.
MAX_CLIENT_WINDOW_SECONDS = 60.0
MAX_CLIENT_RANGE_MS = 5_000.0
MAX_CLIENT_FRAME_RATE_HZ = 60.0


class ScoreOptions(BaseModel):
    """Options of a score; options left out are those of the server, then those of the bundle."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    profile: str | None = Field(None, description="Limits of what counts as in sync, by name.")
    early_ms: float | None = Field(None, description="With the profile custom: how early the audio may be.")
    late_ms: float | None = Field(None, description="With the profile custom: how late the audio may be.")
    window_seconds: float | None = Field(None, gt=0, le=MAX_CLIENT_WINDOW_SECONDS, description="Length of a window.")
    max_offset_ms: float | None = Field(None, gt=0, le=MAX_CLIENT_RANGE_MS, description="Search range to either side.")
    frame_rate_hz: float | None = Field(
        None, gt=0, le=MAX_CLIENT_FRAME_RATE_HZ, description="Frames used per second; fewer cost less."
    )
    hop_ms: float | None = Field(
        None, gt=0, le=MAX_CLIENT_RANGE_MS, description="Step of the search, a multiple of 10; longer ones cost less."
    )
    adaptive: bool | None = Field(None, description="Search coarsely, then track the offset that was found.")

    path: Literal["auto", "face", "whole"] | None = Field(
        None, description="Judge the faces, the whole picture, or both (auto)."
    )
    audio_stream: int | str | None = Field(
        None, description="Number of the audio track, from 0 on, or several to mix, as in 2+3; not for pushed streams."
    )
    video_stream: int | None = Field(None, ge=0, description="Number of the video track, from 0 on.")
    all_audio: bool | None = Field(None, description="Score every audio track of a file, each by itself.")
    program: int | None = Field(None, ge=0, description="Number of the programme whose tracks to score.")

    @classmethod
    def parsed(cls, values: Any) -> Self:
        """Check the values that a client sent; RefusalError where they are unknown or unusable."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RefusalError(400, f"the request {problem(error)}: see /openapi.json") from None

    def resolved(self, manifest: Manifest, defaults: ScoringOptions) -> ScoringOptions:
        """Return `defaults` with the client's options in place of its own.

        Raises:
            ConfigError: a profile, window, range, step or path that cannot be used with a bundle of this manifest.
        """
        asked = self.model_dump(include=set(ScoreOptions.model_fields), exclude_none=True)
        if asked.keys() & {"profile", "early_ms", "late_ms"}:
            # The three belong together: none of the server's limits apply to the client's profile.
            asked = {"profile": defaults.limits.name, "early_ms": None, "late_ms": None} | asked
        options = replace(defaults, **asked)
        options.check(manifest)
        return options
