"""Clips played one after the other as one stream, each with its own audio or with another clip's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy import Bundle, SyncScorer
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.verdict.curve import FloatArray
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ


@dataclass(frozen=True)
class FaceStream:
    """The rows of all faces of a stream over `lags_ms`, and where each of its clips starts."""

    rows: list[FaceRow]
    lags_ms: FloatArray
    starts_seconds: list[float]


def play(
    bundle: Bundle,
    videos: Sequence[Path],
    audios: Sequence[Path],
    *,
    max_lag_ms: float,
    audio_shift_ms: float,
    max_clip_seconds: float,
) -> FaceStream:
    """Score the pictures of `videos` with the audio of `audios`, delayed by `audio_shift_ms`, on the face path.

    Audio of another clip begins where the pictures do.

    Raises:
        MediaError: an unreadable clip.
    """
    rows: list[FaceRow] = []
    scorer = SyncScorer(bundle, path="face", max_offset_ms=max_lag_ms, on_face_row=rows.append)
    starts_seconds, end_seconds = [], 0.0
    for video, audio in zip(videos, audios, strict=True):
        start_seconds = end_seconds
        starts_seconds.append(start_seconds)
        zero_seconds = math.nan
        for item in _read(video, max_clip_seconds):
            zero_seconds = item.pts_seconds if math.isnan(zero_seconds) else zero_seconds
            seconds = start_seconds + item.pts_seconds - zero_seconds
            if isinstance(item, VideoFrame):
                scorer.push_video(item.rgb, pts_seconds=seconds)
                end_seconds = max(end_seconds, start_seconds + item.end_seconds - zero_seconds)
            elif video == audio:
                end_seconds = max(end_seconds, _push(scorer, item, seconds, audio_shift_ms))
        if video != audio:
            zero_seconds = math.nan
            for item in _read(audio, max_clip_seconds):
                if isinstance(item, AudioChunk):
                    zero_seconds = item.pts_seconds if math.isnan(zero_seconds) else zero_seconds
                    seconds = start_seconds + item.pts_seconds - zero_seconds
                    end_seconds = max(end_seconds, _push(scorer, item, seconds, audio_shift_ms))
    scorer.flush()
    return FaceStream(rows, scorer.lags_ms, starts_seconds)


def _push(scorer: SyncScorer, chunk: AudioChunk, seconds: float, audio_shift_ms: float) -> float:
    """Add a chunk and return where it ends."""
    scorer.push_audio(chunk.samples, pts_seconds=seconds + audio_shift_ms / 1000)
    return seconds + len(chunk.samples) / SAMPLE_RATE_HZ


def _read(path: Path, max_seconds: float) -> Iterator[VideoFrame | AudioChunk]:
    with MediaReader(path) as reader:
        for item in reader:
            if item.pts_seconds > max_seconds:
                return
            yield item
