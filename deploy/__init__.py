"""Scoring audio-visual sync in files and live streams with an exported bundle: NumPy and one engine, never torch.

A positive `audio_offset_ms` means that the audio is early (ITU-R BT.1359): its sound is heard before the picture.
"""

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.curve import FEATURE_NAMES, Curve, curve_features
from cavsync.deploy.event_tracker import EventChange, EventTracker
from cavsync.deploy.live import CallbackSink, LiveStatus, Watcher
from cavsync.deploy.profiles import PROFILE_NAMES, Profile, resolve_profile
from cavsync.deploy.records import SyncScore
from cavsync.deploy.score_file import FileFailure, FileScore, Outcome, score_file
from cavsync.deploy.scorer import SyncScorer
from cavsync.deploy.summary import FileSummary

__all__ = [
    "FEATURE_NAMES",
    "PROFILE_NAMES",
    "Bundle",
    "CallbackSink",
    "Curve",
    "EventChange",
    "EventTracker",
    "FileFailure",
    "FileScore",
    "FileSummary",
    "LiveStatus",
    "Outcome",
    "Profile",
    "SyncScore",
    "SyncScorer",
    "Watcher",
    "curve_features",
    "resolve_profile",
    "score_file",
]
