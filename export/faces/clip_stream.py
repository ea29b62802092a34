"""Clips played one after the other as one stream, each with its own audio or with another clip's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.curve import FloatArray
from cavsync.errors import MediaError
from cavsync.export.faces.disturb import Disturbance
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class Clip:
    """A clip to play: the pictures of one file with the audio of another, or of the same, and a change of both.

    Audio of another file begins where the pictures do.
    """

    video: Path
    audio: Path
    disturbance: Disturbance | None = None


@dataclass(frozen=True)
class FaceStream:
    """The rows of all faces of a stream over `lags_ms`, and where each of its clips starts."""

    rows: list[FaceRow]
    lags_ms: FloatArray
    starts_seconds: list[float]


def play(
    bundle: Bundle, clips: Sequence[Clip], *, max_lag_ms: float, audio_shift_ms: float, max_clip_seconds: float
) -> FaceStream:
    """Score clips on the face path, their audio delayed by `audio_shift_ms`.

    Raises:
        MediaError: an unreadable clip.
    """
    rows: list[FaceRow] = []
    scorer = SyncScorer(bundle, path="face", max_offset_ms=max_lag_ms, on_face_row=rows.append)
    starts_seconds, end_seconds = [], 0.0
    for clip in clips:
        starts_seconds.append(end_seconds)
        first_seconds, last_seconds = _push_frames(scorer, clip, end_seconds, max_clip_seconds)
        samples, audio_seconds = _audio(clip.audio, max_clip_seconds)
        if clip.disturbance is not None:
            samples = clip.disturbance.change_audio(samples)
        start_seconds = end_seconds + (audio_seconds - first_seconds if clip.video == clip.audio else 0.0)
        scorer.push_audio(samples, pts_seconds=start_seconds + audio_shift_ms / 1000)
        end_seconds = max(last_seconds, start_seconds + len(samples) / SAMPLE_RATE_HZ)
    scorer.flush()
    return FaceStream(rows, scorer.lags_ms, starts_seconds)


def _push_frames(scorer: SyncScorer, clip: Clip, start_seconds: float, max_seconds: float) -> tuple[float, float]:
    """Add the frames of a clip, the first at `start_seconds`; return its own time, and the stream's at the end."""
    first_seconds, end_seconds = math.nan, start_seconds
    for number, item in enumerate(_read(clip.video, max_seconds)):
        if isinstance(item, VideoFrame):
            first_seconds = item.pts_seconds if math.isnan(first_seconds) else first_seconds
            frame = item.rgb if clip.disturbance is None else clip.disturbance.change_frame(item.rgb, number)
            scorer.push_video(frame, pts_seconds=start_seconds + item.pts_seconds - first_seconds)
            end_seconds = start_seconds + item.end_seconds - first_seconds
    return first_seconds, end_seconds


def _audio(path: Path, max_seconds: float) -> tuple[NDArray[np.float32], float]:
    """Return the audio of a clip and when it starts."""
    chunks = [item for item in _read(path, max_seconds) if isinstance(item, AudioChunk)]
    if not chunks:
        raise MediaError(f"{path} holds no audio: give a complete file", reason="no_audio")
    return np.concatenate([chunk.samples for chunk in chunks]), chunks[0].pts_seconds


def _read(path: Path, max_seconds: float) -> Iterator[VideoFrame | AudioChunk]:
    with MediaReader(path) as reader:
        for item in reader:
            if item.pts_seconds > max_seconds:
                return
            yield item
