"""Where in a video a sound belongs: its embeddings slid over those of the frames, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.files.placement import Placement, placed
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.video_track import VideoTrack
from cavsync.errors import ConfigError, MediaError
from cavsync.manifest.specs import HOP_UNIT_MS
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ, segment_center_seconds
from cavsync.media.audio_file import read_audio
from cavsync.media.video_file import FrameReader

FloatArray = NDArray[np.float64]
MAX_SOUND_SECONDS = 300.0
SILENT_DBFS = -70.0
MIN_SOUND_SECONDS = 3.0
"""Of shorter sounds, wrong ones fit somewhere too often."""
MIN_SHARE = 0.8
"""A sound may begin before the video or end after it, by less than a fifth."""
ON_GRID = 1e-6


class SlidingSum:
    """Sums, over the frames pushed so far, of the similarity with a sound that begins at each place.

    The sound's embeddings (m, D) belong to times `first_seconds + j * hop_seconds` after its beginning. Place k begins
    the sound `k * hop_seconds` after time 0 of the video. Memory: two numbers per place.
    """

    def __init__(self, embeddings: NDArray[np.float32], first_seconds: float, hop_seconds: float) -> None:
        self._sound = embeddings
        self._first_seconds, self._hop_seconds = first_seconds, hop_seconds
        self._origin: int | None = None
        self._sums = np.zeros((2, 0))

    def push(self, time_seconds: float, embedding: NDArray[np.float32]) -> None:
        """Add a frame at a time of the video with its embedding (D,)."""
        similarity = (self._sound @ embedding).astype(np.float64)
        position = (time_seconds - self._first_seconds) / self._hop_seconds
        above = math.ceil(position - ON_GRID)
        share = max(0.0, above - position)
        # Place k pairs the frame with the moment of the sound that is k hops earlier, between two embeddings of it.
        moments = (1 - share) * similarity[1:] + share * similarity[:-1]
        first = above - len(moments)
        if self._origin is None:
            self._origin = first
        begin = first - self._origin
        if begin < 0:
            # Frames that go back in time, as after a splice, are left out.
            return
        self._grow(begin + len(moments))
        part = self._sums[:, begin : begin + len(moments)]
        part[0] += moments[::-1]
        part[1] += 1

    def _grow(self, count: int) -> None:
        if count > self._sums.shape[1]:
            larger = np.zeros((2, max(count, 2 * self._sums.shape[1])))
            larger[:, : self._sums.shape[1]] = self._sums
            self._sums = larger

    def curve(self, min_share: float) -> tuple[FloatArray, FloatArray]:
        """Return places in seconds and their mean similarities (k,), of the places at which at least `min_share` of the
        greatest number of frames paired with the sound is there."""
        sums, counts = self._sums
        used = np.flatnonzero(counts >= max(1.0, min_share * counts.max(initial=0)))
        seconds = np.asarray(((self._origin or 0) + used) * self._hop_seconds, dtype=np.float64)
        return seconds, sums[used] / counts[used]


def locate(
    sound: Path | str,
    video: Path | str,
    bundle: Bundle,
    *,
    num_places: int = 5,
    video_stream: int | None = None,
    on_progress: Callable[[float, float | None], None] | None = None,
) -> Placement:
    """Find where in a video a sound belongs, by what is seen; the video's own audio is not used.

    num_places: candidates to return. on_progress: called with the seconds of video done and declared (None where
    nothing is declared).

    Raises:
        MediaError: a file that cannot be used.
        ConfigError: a sound of more than `MAX_SOUND_SECONDS`, or too short for a segment of the bundle.
    """
    hop_seconds = bundle.manifest.sync.hop_ms / 1000
    samples = read_audio(sound)
    embeddings = sound_embeddings(samples, bundle, str(sound))
    level_dbfs = 10 * math.log10(float(np.mean(np.square(samples, dtype=np.float64))) + 1e-20)
    if level_dbfs < SILENT_DBFS:
        return Placement("undetermined", "the sound is silent", ())
    first_seconds = float(segment_center_seconds(0, bundle.manifest.audio.segment_frames))
    sliding = SlidingSum(embeddings, first_seconds, hop_seconds)
    track = VideoTrack(bundle, bundle.manifest.sync.frame_rate_hz, GROUP_INSTANTS)

    def take() -> None:
        while group := track.take_group():
            seen = bundle.embed_frames(track.tubelets(group))
            for instant, embedding in zip(group, seen, strict=True):
                sliding.push(instant.time_seconds, embedding)

    with FrameReader(video, video_stream) as reader:
        for frame in reader:
            track.push(frame.rgb, frame.pts_seconds)
            take()
            if on_progress is not None:
                on_progress(frame.pts_seconds, reader.duration_seconds)
    track.finish()
    take()
    seconds, scores = sliding.curve(MIN_SHARE)
    if not len(scores):
        raise MediaError(f"{video} holds no frame: give a complete file", reason="corrupt")
    found = placed(seconds, scores, num_places)
    if len(samples) < MIN_SOUND_SECONDS * SAMPLE_RATE_HZ:
        reason = f"the sound is shorter than {MIN_SOUND_SECONDS:g} s, which may fit anywhere"
        return replace(found, state="undetermined", reason=reason)
    return found


def sound_embeddings(samples: NDArray[np.float32], bundle: Bundle, name: str) -> NDArray[np.float32]:
    """Return the embeddings (m, D), m >= 2, of all segments of 16 kHz samples (n,), a hop of the bundle's grid apart.

    Raises ConfigError where there are fewer, or the sound exceeds `MAX_SOUND_SECONDS`.
    """
    seconds = len(samples) / SAMPLE_RATE_HZ
    length, hop = bundle.manifest.audio.segment_frames, round(bundle.manifest.sync.hop_ms / HOP_UNIT_MS)
    shortest = ((length - 1 + hop) * FRAME_SHIFT_SAMPLES + FRAME_LENGTH_SAMPLES) / SAMPLE_RATE_HZ
    if not shortest <= seconds <= MAX_SOUND_SECONDS:
        raise ConfigError(
            f"{name} has {seconds:.2f} s of sound, from {shortest:.2f} to {MAX_SOUND_SECONDS:g} s can be located: cut "
            "out a part"
        )
    log_mel = bundle.log_mel(samples)
    starts = range(0, len(log_mel) - length + 1, hop)
    parts = [
        bundle.embed_audio(
            np.stack([log_mel[start : start + length] for start in starts[place : place + GROUP_INSTANTS]])
        )
        for place in range(0, len(starts), GROUP_INSTANTS)
    ]
    return np.concatenate(parts)
