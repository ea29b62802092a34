"""Embeddings of the frames of a file and of the audio around each, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.clock import EpochPairing
from cavsync.deploy.stream.lag_rows import LagRows
from cavsync.deploy.stream.limits import GROUP_INSTANTS
from cavsync.deploy.stream.options import FILE_LEAD_SECONDS, ScoringOptions
from cavsync.deploy.stream.video_track import VideoTrack, VisualInstant
from cavsync.manifest.specs import HOP_UNIT_MS
from cavsync.media import AudioChunk, MediaReader
from cavsync.media.tracks import PLAYED, TrackChoice

Array = NDArray[np.float32]
Progress = Callable[[float, float | None], None]


@dataclass(frozen=True)
class Features:
    """Features of n successive frames of a file, at `times_seconds` (n,) float64 of the file's clock.

    `visual`, `audio`: unit embeddings (n, D) of the frames and of the segment of audio centred on each.
    `visual_patches` (n, N, D), `audio_patches` (n, M, D): the encoders' patch tokens, row-major (audio:
    frequency-major), None where they were not asked for. Audio features are NaN where the audio does not cover the
    segment, as at the beginning and the end of a file.
    """

    times_seconds: NDArray[np.float64]
    visual: Array
    audio: Array
    visual_patches: Array | None = None
    audio_patches: Array | None = None

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """The arrays by name, without those that are missing."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: values for name, values in named.items() if values is not None}


class FeatureStream:
    """Push frames into `video` and audio into `audio` (see `VideoTrack`, `AudioTrack`), take features from `ready`.

    frame_rate_hz: use at most so many frames per second, at most `MAX_FRAME_RATE_HZ`; None for the bundle's own rate.
    Memory: the small frames of a group, and 30 s of audio.
    """

    def __init__(self, bundle: Bundle, frame_rate_hz: float | None = None, *, patches: bool = False) -> None:
        self._bundle, self._patches = bundle, patches
        # Segments may start at any log-mel frame; the range of lags of a grid cannot be nothing.
        options = ScoringOptions(frame_rate_hz=frame_rate_hz, hop_ms=HOP_UNIT_MS, max_offset_ms=2 * HOP_UNIT_MS)
        around = options.grid_for(bundle.manifest.sync)
        self._lags = LagRows(bundle.audio_encoder, around, FILE_LEAD_SECONDS)
        self.video = VideoTrack(bundle, around.frame_rate_hz, GROUP_INSTANTS)
        self.audio = self._lags.audio
        self._pairing = EpochPairing(self.video.clock, self.audio.clock)
        self._waiting: deque[tuple[list[VisualInstant], Array, Array | None]] = deque()

    def finish(self) -> None:
        """End both tracks."""
        self.video.finish()
        self.audio.finish()

    def ready(self) -> Iterator[Features]:
        """Yield the features whose audio has arrived or is no longer waited for; exhaust it before pushing more."""
        while group := self.video.take_group():
            tubelets = self.video.tubelets(group)
            patches = self._bundle.frame_patches(tubelets) if self._patches else None
            self._waiting.append((group, self._bundle.embed_frames(tubelets), patches))
        while self._waiting:
            group, visual, patches = self._waiting[0]
            last = group[-1]
            is_late = self.video.elapsed_seconds - last.elapsed_seconds > FILE_LEAD_SECONDS
            epoch = self._lags.epoch_for(self._pairing, last.epoch, last.time_seconds, is_late=is_late)
            if epoch is None:
                return
            self._waiting.popleft()
            times_seconds = [instant.time_seconds for instant in group]
            segments = [self._lags.log_mel(epoch, seconds) for seconds in times_seconds]
            self._lags.drop_before(epoch, times_seconds[-1])
            yield Features(np.array(times_seconds), visual, *self._heard(segments, patches))

    def _heard(
        self, segments: list[Array | None], visual_patches: Array | None
    ) -> tuple[Array, Array | None, Array | None]:
        """Return audio, visual_patches and audio_patches, NaN for the segments that are missing."""
        # What is missing is computed from silence and then blotted out: it is rare, and shapes need no second source.
        manifest = self._bundle.manifest
        silence = np.zeros((manifest.audio.segment_frames, manifest.frontend.num_mel_bins), np.float32)
        filled = np.stack([silence if segment is None else segment for segment in segments])
        missing = [segment is None for segment in segments]
        audio = self._bundle.embed_audio(filled).copy()
        audio[missing] = np.nan
        if visual_patches is None:
            return audio, None, None
        audio_patches = self._bundle.audio.run(filled, "patches").copy()
        audio_patches[missing] = np.nan
        return audio, visual_patches, audio_patches


def file_features(
    path: Path | str,
    bundle: Bundle,
    *,
    frame_rate_hz: float | None = None,
    patches: bool = False,
    tracks: TrackChoice = PLAYED,
    on_progress: Progress | None = None,
) -> Iterator[Features]:
    """Yield the features of a media file, group by group.

    Args:
        path: a file, or an address that FFmpeg opens.
        bundle: computes them.
        frame_rate_hz: use at most so many frames per second; None for the bundle's own rate.
        patches: the patch tokens too.
        tracks: the tracks to read.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).

    Raises:
        MediaError: unreadable, truncated, without video or audio.
        ConfigError: a frame rate that cannot be used.
    """
    stream = FeatureStream(bundle, frame_rate_hz, patches=patches)
    with MediaReader(path, tracks=tracks) as reader:
        for item in reader:
            if isinstance(item, AudioChunk):
                stream.audio.push(item.samples, item.pts_seconds)
            else:
                stream.video.push(item.rgb, item.pts_seconds)
            yield from stream.ready()
            if on_progress is not None:
                on_progress(item.pts_seconds, reader.info.duration_seconds)
    stream.finish()
    yield from stream.ready()
