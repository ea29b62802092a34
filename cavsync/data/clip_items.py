"""A loaded clip as a media file gives it: frames and pieces of audio in order of time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cavsync.data.clip import Clip
from cavsync.data.clip_audio import Waveform
from cavsync.media import AudioChunk, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ, shown_seconds

PIECE_SAMPLES = SAMPLE_RATE_HZ // 2


def clip_items(clip: Clip) -> Iterator[VideoFrame | AudioChunk]:
    """Yield the frames of a clip that holds samples, each decoded when it is its turn, and its audio in pieces of half
    a second. Raises MediaError for a damaged frame."""
    assert isinstance(clip.audio, Waveform)
    samples, start_seconds, done = clip.audio.samples, clip.audio_start_seconds, 0
    shown = shown_seconds(clip.pts_seconds) / len(clip.pts_seconds)
    for number, seconds in enumerate(clip.pts_seconds.tolist()):
        while done < len(samples) and start_seconds + done / SAMPLE_RATE_HZ <= seconds:
            yield AudioChunk(start_seconds + done / SAMPLE_RATE_HZ, samples[done : done + PIECE_SAMPLES])
            done += PIECE_SAMPLES
        rgb = clip.frames[np.array([number])][0].transpose(1, 2, 0)
        yield VideoFrame(seconds, np.ascontiguousarray(rgb), shown)
    for place in range(done, len(samples), PIECE_SAMPLES):
        yield AudioChunk(start_seconds + place / SAMPLE_RATE_HZ, samples[place : place + PIECE_SAMPLES])
