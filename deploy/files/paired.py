"""The frames of a file and the audio around each, paired in bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.tubelets import Tubelet
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.options import FILE_LEAD_SECONDS, ScoringOptions
from cavsync.deploy.stream.video_track import VideoTrack, VisualInstant
from cavsync.manifest.specs import HOP_UNIT_MS
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.tracks import PLAYED, TrackChoice

Array = NDArray[np.float32]
Progress = Callable[[float, float | None], None]
Seen = TypeVar("Seen")
# Beyond half a segment, so that a segment moved inside the audio at either end is still there.
SLACK_HOPS = 8


class PairedFrames(Generic[Seen]):
    """Push frames into `video` and audio into `audio` (see `VideoTrack`, `AudioTrack`), take pairs from `ready`.

    see: called with the tubelets of each group of frames as soon as they are there.
    frame_rate_hz: use at most so many frames per second, at most `MAX_FRAME_RATE_HZ`; None for the bundle's own rate.
    pad: move segments that reach beyond the audio inside it, and pad them with zeros if it is shorter, as training
    does; otherwise they are None.
    Memory: the small frames of a group, 30 s of audio, and what `see` returned of the frames that wait for audio.
    """

    def __init__(
        self, bundle: Bundle, see: Callable[[Sequence[Tubelet]], Seen], frame_rate_hz: float | None, *, pad: bool
    ) -> None:
        self._see, self._pad = see, pad
        hops = 2
        if pad:
            hops = math.ceil(bundle.manifest.audio.segment_frames / 2) + SLACK_HOPS
        # Segments may start at any log-mel frame; the range of lags is how much audio around a segment is waited for.
        options = ScoringOptions(frame_rate_hz=frame_rate_hz, hop_ms=HOP_UNIT_MS, max_offset_ms=hops * HOP_UNIT_MS)
        around = options.grid_for(bundle.manifest.sync)
        self._lags = LagRows(bundle.audio_encoder, around, FILE_LEAD_SECONDS)
        self.video = VideoTrack(bundle, around.frame_rate_hz, GROUP_INSTANTS)
        self.audio = self._lags.audio
        self._pairing = EpochPairing(self.video.clock, self.audio.clock)
        self._waiting: deque[tuple[list[VisualInstant], Seen]] = deque()

    def finish(self) -> None:
        """End both tracks."""
        self.video.finish()
        self.audio.finish()

    def ready(self) -> Iterator[tuple[NDArray[np.float64], Seen, list[Array | None]]]:
        """Yield times, what was seen, and raw log-mel segments (segment_frames, bins) of the frames whose audio has
        arrived or is no longer waited for; exhaust it before pushing more."""
        while group := self.video.take_group():
            self._waiting.append((group, self._see(self.video.tubelets(group))))
        while self._waiting:
            group, seen = self._waiting[0]
            last = group[-1]
            is_late = self.video.elapsed_seconds - last.elapsed_seconds > FILE_LEAD_SECONDS
            epoch = self._lags.epoch_for(self._pairing, last.epoch, last.time_seconds, is_late=is_late)
            if epoch is None:
                return
            self._waiting.popleft()
            times_seconds = [instant.time_seconds for instant in group]
            segments = [self._lags.log_mel(epoch, seconds, pad=self._pad) for seconds in times_seconds]
            self._lags.drop_before(epoch, times_seconds[-1])
            yield np.array(times_seconds), seen, segments


def paired_frames(
    path: Path | str,
    pairs: PairedFrames[Seen],
    tracks: TrackChoice = PLAYED,
    on_progress: Progress | None = None,
) -> Iterator[tuple[NDArray[np.float64], Seen, list[Array | None]]]:
    """Yield what `PairedFrames.ready` gives of a media file, or of an address that FFmpeg opens.

    on_progress: called with the seconds done and the seconds declared (None where nothing is declared).
    Raises MediaError for a file that is unreadable, truncated, or without video or audio.
    """
    with MediaReader(path, tracks=tracks) as reader:
        yield from paired(reader, pairs, reader.info.duration_seconds, on_progress)


def paired(
    items: Iterable[VideoFrame | AudioChunk],
    pairs: PairedFrames[Seen],
    duration_seconds: float | None = None,
    on_progress: Progress | None = None,
) -> Iterator[tuple[NDArray[np.float64], Seen, list[Array | None]]]:
    """Yield what `PairedFrames.ready` gives of frames and audio, each in order of time and neither far ahead."""
    for item in items:
        if isinstance(item, AudioChunk):
            pairs.audio.push(item.samples, item.pts_seconds)
        else:
            pairs.video.push(item.rgb, item.pts_seconds)
        yield from pairs.ready()
        if on_progress is not None:
            on_progress(item.pts_seconds, duration_seconds)
    pairs.finish()
    yield from pairs.ready()


def filled(segments: list[Array | None], shape: tuple[int, int]) -> tuple[Array, NDArray[np.bool_]]:
    """Return segments (n, segment_frames, bins), zero where they are missing, and which (n,) are missing."""
    silence = np.zeros(shape, np.float32)
    whole = np.stack([silence if segment is None else segment for segment in segments])
    return whole, np.array([segment is None for segment in segments])
