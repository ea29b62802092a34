"""The options with which a stream or a file is scored: names, types, defaults and limits, each in this one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import TypedDict, cast

from cavsync.deploy.runtime.engine_keywords import EngineKeywords
from cavsync.deploy.stream.grid import Grid
from cavsync.deploy.verdict.profiles import DEFAULT_PROFILE, Profile, resolve_profile
from cavsync.deploy.verdict.records import FACE, WHOLE
from cavsync.errors import ConfigError
from cavsync.manifest import Manifest, SyncSpec
from cavsync.manifest.specs import HOP_UNIT_MS, MAX_FRAME_RATE_HZ, MAX_OFFSET_MS, MAX_WINDOW_SECONDS, is_whole_hop
from cavsync.media.tracks import TrackChoice

FILE_LEAD_SECONDS = 30.0
FILE_GROUP_SECONDS, LIVE_GROUP_SECONDS = 0.64, 0.32
"""A live stream's decisions come a third of a second sooner for 6 % more work."""
LIVE_PATIENCE_SECONDS = 5.0
"""How long a live stream waits for overdue audio: an alarm half a minute late would be useless."""
AUTO = "auto"
PATHS = (AUTO, FACE, WHOLE)
# Every number is greater than 0 and at most this.
LARGEST = {
    "window_seconds": MAX_WINDOW_SECONDS,
    "max_offset_ms": MAX_OFFSET_MS,
    "frame_rate_hz": MAX_FRAME_RATE_HZ,
    "hop_ms": MAX_OFFSET_MS,
    "max_lead_seconds": MAX_WINDOW_SECONDS,
    "group_seconds": MAX_WINDOW_SECONDS,
}


class ScoringKeywords(TypedDict, total=False):
    """The fields of `ScoringOptions` as keyword arguments, for signatures that take them one by one."""

    window_seconds: float | None
    max_offset_ms: float | None
    frame_rate_hz: float | None
    hop_ms: float | None
    adaptive: bool
    path: str
    profile: str | Profile
    early_ms: float | None
    late_ms: float | None
    max_lead_seconds: float | None
    group_seconds: float | None
    audio_stream: int | str | None
    video_stream: int | None
    program: int | None
    all_audio: bool


class OpenKeywords(ScoringKeywords, EngineKeywords, total=False):
    """Keyword arguments for opening a bundle and scoring with it; see `split_keywords`."""


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How a stream or a file is scored. None means the value of the bundle, unless stated otherwise.

    Args:
        window_seconds: length of the window of a decision.
        max_offset_ms: half the search range.
        frame_rate_hz: frames used per second, at most; fewer cost less and resolve less.
        hop_ms: step between lags, a multiple of 10 ms; longer hops cost less and resolve less.
        adaptive: begin with a coarse search, then track the peak, and widen where confidence drops (see
            `Search`); the whole picture's path only.
        path: `whole` judges the whole picture, `face` the faces in it, `auto` both (see `combine`); with a bundle that
            has no face path, `auto` means `whole`.
        profile: limits within which the audio counts as in sync, by name (see `profiles`) or resolved.
        early_ms: limit of the profile `custom` for early audio; required with it, not allowed with any other.
        late_ms: the same for late audio.
        max_lead_seconds: how long, in stream time, a frame waits for its audio and audio for its frames. None means
            30 s, and in a live stream 5 s more than the search range.
        group_seconds: length of the groups of frames that are embedded together: shorter groups lower the delay, longer
            ones the cost. None means 0.64 s, and in a live stream 0.32 s.
        audio_stream: number of the audio track of a file or live source, counted from 0, or several to mix, as in
            `2+3`; None means the one that a player would play.
        video_stream: number of the video track, counted from 0; None as for `audio_stream`.
        program: number of the programme (MPEG-TS service, HLS variant) that has the tracks; None for any.
        all_audio: score every audio track of a file separately, in one pass.

    Raises:
        ConfigError: a number outside its limits, or a profile that cannot be used.
    """

    window_seconds: float | None = None
    max_offset_ms: float | None = None
    frame_rate_hz: float | None = None
    hop_ms: float | None = None
    adaptive: bool = False
    path: str = AUTO
    profile: str | Profile = DEFAULT_PROFILE
    early_ms: float | None = None
    late_ms: float | None = None
    max_lead_seconds: float | None = None
    group_seconds: float | None = None
    audio_stream: int | str | None = None
    video_stream: int | None = None
    program: int | None = None
    all_audio: bool = False

    def __post_init__(self) -> None:
        for name, largest in LARGEST.items():
            value = getattr(self, name)
            if value is not None and not 0 < value <= largest:
                raise ConfigError(f"{name} is {value}: give more than 0 and at most {largest:g}")
        if self.hop_ms is not None and not is_whole_hop(self.hop_ms):
            raise ConfigError(f"hop_ms is {self.hop_ms}: give a multiple of {HOP_UNIT_MS:g} ms")
        if self.path not in PATHS:
            raise ConfigError(f"path is {self.path!r}: choose one of {', '.join(PATHS)}")
        if self.all_audio and self.audio_stream is not None:
            raise ConfigError("all_audio scores every audio track: leave audio_stream out")
        # Resolve them now, so that what is unknown is refused here.
        _ = self.limits, self.tracks

    def __str__(self) -> str:
        """The options that are set, as in `adaptive=False, profile=ebu-r37, hop_ms=20.0`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"profile": self.limits.name}
        return ", ".join(f"{name}={value}" for name, value in values.items() if value is not None)

    @cached_property
    def limits(self) -> Profile:
        """The resolved profile."""
        if isinstance(self.profile, Profile):
            return self.profile
        return resolve_profile(self.profile, self.early_ms, self.late_ms)

    @cached_property
    def tracks(self) -> TrackChoice:
        """The tracks that are named."""
        return TrackChoice.parsed(self.audio_stream, self.video_stream, self.program)

    @property
    def lead_seconds(self) -> float:
        """`max_lead_seconds`, or its default outside live streams."""
        return FILE_LEAD_SECONDS if self.max_lead_seconds is None else self.max_lead_seconds

    @property
    def batch_seconds(self) -> float:
        """`group_seconds`, or its default outside live streams."""
        return FILE_GROUP_SECONDS if self.group_seconds is None else self.group_seconds

    def check(self, manifest: Manifest) -> None:
        """Raise ConfigError if these options cannot be used with a bundle of this manifest."""
        self.grid_for(manifest.sync)
        self.paths_for(manifest)

    def paths_for(self, manifest: Manifest) -> tuple[str, ...]:
        """The paths on which a bundle is used: WHOLE, FACE or both.

        Raises:
            ConfigError: only faces are to be judged, and the bundle has no face path.
        """
        if manifest.faces is None and self.path == FACE:
            raise ConfigError(f"path is {FACE}, and the bundle {manifest.name} has no face path: use {AUTO} or {WHOLE}")
        if self.path == AUTO:
            return (WHOLE,) if manifest.faces is None else (WHOLE, FACE)
        return (self.path,)

    def grid_for(self, sync: SyncSpec) -> Grid:
        """The bundle's grid with these options in place of its own numbers.

        Raises:
            ConfigError: options that contradict each other or the rest of the bundle's grid.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return Grid(**{name: float(given.get(name, value)) for name, value in asdict(sync).items()})

    def for_live(self, sync: SyncSpec) -> ScoringOptions:
        """These options with the `max_lead_seconds` and `group_seconds` of a live stream, unless they are set.

        Audio at the end of the search range is due that much later anyway; `LIVE_PATIENCE_SECONDS` are added.

        Raises:
            ConfigError: see `grid_for`.
        """
        lead_seconds, group_seconds = self.max_lead_seconds, self.group_seconds
        if lead_seconds is None:
            lead_seconds = LIVE_PATIENCE_SECONDS + self.grid_for(sync).max_offset_ms / 1000
        if group_seconds is None:
            group_seconds = LIVE_GROUP_SECONDS
        return replace(self, max_lead_seconds=lead_seconds, group_seconds=group_seconds)


DEFAULT_OPTIONS = ScoringOptions()


def split_keywords(keywords: OpenKeywords) -> tuple[EngineKeywords, ScoringKeywords]:
    """Separate the keywords of `Bundle.open` from those of `ScoringOptions`, which receive every unknown one."""
    engine = {name: value for name, value in keywords.items() if name in EngineKeywords.__annotations__}
    scoring = {name: value for name, value in keywords.items() if name not in engine}
    return cast(EngineKeywords, engine), cast(ScoringKeywords, scoring)
