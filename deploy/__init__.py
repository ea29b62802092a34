"""Scoring audio-visual sync in files and live streams with an exported bundle: NumPy and one engine, never torch.

A positive `audio_offset_ms` means that the audio is early (ITU-R BT.1359): it is heard before its frame is shown.
Public: the names below, those of `cavsync.deploy.live`, `cavsync.deploy.metrics.SyncMetrics`, and `NativeBundle` and
`NativeScorer` of `cavsync.deploy.native`. The rooms (`stream`, `verdict`, `runtime`, `files`, `repair`, `sinks`,
`server`) are not public.
"""

from cavsync.deploy.files.score_file import FileFailure, FileScore, Outcome, score_file
from cavsync.deploy.files.summary import FileSummary
from cavsync.deploy.live import CallbackSink, LiveStatus, Watcher
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.pool import EnginePool
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.curve import FEATURE_NAMES, Curve, curve_features
from cavsync.deploy.verdict.events import EventChange, EventTracker
from cavsync.deploy.verdict.profiles import PROFILE_NAMES, Profile, resolve_profile
from cavsync.deploy.verdict.records import SyncScore

__all__ = [
    "FEATURE_NAMES",
    "PROFILE_NAMES",
    "Bundle",
    "CallbackSink",
    "Curve",
    "EnginePool",
    "EventChange",
    "EventTracker",
    "FileFailure",
    "FileScore",
    "FileSummary",
    "LiveStatus",
    "Outcome",
    "Profile",
    "ScoringOptions",
    "SyncScore",
    "SyncScorer",
    "Watcher",
    "curve_features",
    "resolve_profile",
    "score_file",
]
