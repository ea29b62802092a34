"""A clip as the face model trains on it: the track of its main face, and its audio."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.data.clip import read_until, require_same_length
from cavsync.data.faces.follow import FaceFollower, OpenFinder
from cavsync.data.faces.track import FaceTrack
from cavsync.errors import MediaError
from cavsync.media import AudioChunk
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.audio_file import join_chunks


@dataclass(frozen=True)
class FaceClip:
    """The `track` of a clip's main face, and mono 16 kHz `samples` (n,) whose first is at `audio_start_seconds`."""

    source: str
    track: FaceTrack
    samples: NDArray[np.float32]
    audio_start_seconds: float


def read_face_clip(path: Path | str, open_finder: OpenFinder) -> FaceClip:
    """Decode a video file and follow its faces.

    Raises:
        MediaError: the file cannot be used (as for `load_clip`), or shows no face.
    """
    follower = FaceFollower(open_finder())
    chunks: list[AudioChunk] = []
    last_seconds = video_end_seconds = -math.inf
    for seconds, item in read_until(path, math.inf):
        if isinstance(item, AudioChunk):
            chunks.append(item)
        elif seconds > last_seconds:
            follower.push(item.rgb, seconds)
            last_seconds, video_end_seconds = seconds, item.end_seconds
    if not chunks or last_seconds == -math.inf:
        raise MediaError(f"{path} holds no video or no audio: give a complete file", reason="corrupt")
    samples, start_seconds = join_chunks(chunks)
    require_same_length(path, video_end_seconds, start_seconds + len(samples) / SAMPLE_RATE_HZ)
    return FaceClip(str(path), follower.main_track(str(path)), samples, start_seconds)
