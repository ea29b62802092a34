"""Scoring audio-visual sync in files and live streams with an exported bundle: NumPy and one engine, never torch.

A positive `audio_offset_ms` means that the audio is early (ITU-R BT.1359): its sound is heard before the picture.
"""

from cavsync.deploy.bundle import Bundle
from cavsync.deploy.curve import FEATURE_NAMES, Curve, curve_features
from cavsync.deploy.engine_pool import EnginePool
from cavsync.deploy.profiles import PROFILE_NAMES, Profile, resolve_profile
from cavsync.deploy.records import SyncScore
from cavsync.deploy.score_file import FileFailure, FileScore, Outcome, score_file
from cavsync.deploy.scorer import SyncScorer
from cavsync.deploy.summary import FileSummary

__all__ = [
    "FEATURE_NAMES",
    "PROFILE_NAMES",
    "Bundle",
    "Curve",
    "EnginePool",
    "FileFailure",
    "FileScore",
    "FileSummary",
    "Outcome",
    "Profile",
    "SyncScore",
    "SyncScorer",
    "curve_features",
    "resolve_profile",
    "score_file",
]
