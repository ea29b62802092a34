"""Decode one file or stream into timed frames and 16 kHz mono audio, in the order of its packets.

Memory is bounded by the codec's own delay. Timestamps are the container's presentation times in seconds since the start
that it declares; nothing is derived from a frame counter, so variable frame rates and late starts keep their meaning.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.media.confined import limit_frames, open_confined
from cavsync.media.container import MediaInfo, describe, open_file, pick_track
from cavsync.media.resample import MonoResampler

log = logging.getLogger(__name__)

MAX_DAMAGED_SHARE = 0.2
TRUNCATION_TOLERANCE_SECONDS = 1.0
TRUNCATION_TOLERANCE_SHARE = 0.05


@dataclass(frozen=True)
class VideoFrame:
    """One frame: `rgb` (H, W, 3) uint8, shown from `pts_seconds` on."""

    pts_seconds: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class AudioChunk:
    """Mono audio: `samples` (n,) float32 at 16 kHz, the first of them heard at `pts_seconds`."""

    pts_seconds: float
    samples: NDArray[np.float32]


class MediaReader:
    """Iterate over the frames and audio of a file: `with MediaReader(path) as reader: for item in reader: ...`.

    Args:
        source: a path, or an address that FFmpeg opens.
        file: an opened, seekable file to read instead, which `source` then only names. It is confined: it may not
            refer to other files or addresses (see `confined`). Not closed here.
        sample_rate_hz: rate of the audio handed out.
        video_threads: decoder threads; 0 lets FFmpeg choose.

    Raises:
        MediaError: on opening: missing, empty or unreadable file, no video track, no audio track. While iterating:
            nothing decodes, too many damaged packets, or the file ends long before its header says.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        file: IO[bytes] | None = None,
        sample_rate_hz: int = 16_000,
        video_threads: int = 0,
    ) -> None:
        self.source = str(source)
        self.sample_rate_hz = sample_rate_hz
        self._container = open_file(self.source) if file is None else open_confined(self.source, file)
        try:
            self._video = pick_track([self._container], "video", self.source)
            self._audio = pick_track([self._container], "audio", self.source)
        except MediaError:
            self._container.close()
            raise
        self._video.thread_type = "AUTO"
        self._video.codec_context.thread_count = video_threads
        if file is not None:
            limit_frames(self._video)
        self.info = describe(self._container, self._video, self._audio)

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. Safe to call twice."""
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        converter = FrameConverter(self.info.frame_rate_hz, self.sample_rate_hz, self.info.start_seconds)
        health = _Health(self.source, self.info)
        for packet in self._packets(health):
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                health.damaged(packet.stream.type, error)
                continue
            health.decoded(packet.stream.type, len(frames))
            for frame in frames:
                for item in converter.convert(frame):
                    health.reached(converter.end_seconds(item))
                    yield item
        for chunk in converter.flush():
            health.reached(converter.end_seconds(chunk))
            yield chunk
        health.close()

    def _packets(self, health: _Health) -> Iterator[Any]:
        packets = self._container.demux(self._video, self._audio)
        while True:
            try:
                yield next(packets)
            except StopIteration:
                return
            except av.error.FFmpegError as error:
                health.damaged("container", error)
                return


class FrameConverter:
    """Decoded frames (`av.VideoFrame`, `av.AudioFrame`) -> upright RGB frames and mono audio, times in seconds.

    A frame without a timestamp follows its predecessor by the nominal period. Times are counted from `zero_seconds`.
    """

    def __init__(self, frame_rate_hz: float | None, sample_rate_hz: int, zero_seconds: float = 0.0) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._zero_seconds = zero_seconds
        self._period_seconds = 1.0 / frame_rate_hz if frame_rate_hz else 0.04
        self._next_seconds = 0.0
        self._resampler = MonoResampler(sample_rate_hz, zero_seconds=zero_seconds)

    def convert(self, frame: Any) -> Iterator[VideoFrame | AudioChunk]:
        """One decoded frame; audio may come later, while the resampling filter fills."""
        if isinstance(frame, av.VideoFrame):
            yield VideoFrame(self._pts_seconds(frame), _upright_rgb(frame))
        else:
            yield from (AudioChunk(*timed) for timed in self._resampler.push(frame))

    def flush(self) -> Iterator[AudioChunk]:
        """What the resampling filter still holds."""
        yield from (AudioChunk(*timed) for timed in self._resampler.flush())

    def end_seconds(self, item: VideoFrame | AudioChunk) -> float:
        """When the video or audio is over."""
        if isinstance(item, VideoFrame):
            return item.pts_seconds + self._period_seconds
        return item.pts_seconds + len(item.samples) / self._sample_rate_hz

    def _pts_seconds(self, frame: Any) -> float:
        seconds = self._next_seconds if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_seconds
        self._next_seconds = seconds + self._period_seconds
        return seconds


def _upright_rgb(frame: Any) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", threads=1)
    # Phones store the turn of the camera beside the frame (counter-clockwise degrees) instead of turning it.
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


class _Health:
    """Counts what did not decode and where the file ended, and says when that is too much to trust the rest."""

    def __init__(self, source: str, info: MediaInfo) -> None:
        self._source = source
        self._info = info
        self._decoded = {"video": 0, "audio": 0}
        self._damaged = 0
        self._container_error = ""
        self._end_seconds = 0.0

    def decoded(self, kind: str, count: int) -> None:
        self._decoded[kind] += count

    def damaged(self, kind: str, error: Exception) -> None:
        self._damaged += 1
        if kind == "container":
            self._container_error = str(error)
        log.debug("%s: damaged %s packet: %s", self._source, kind, error)

    def reached(self, end_seconds: float) -> None:
        self._end_seconds = max(self._end_seconds, end_seconds)

    def close(self) -> None:
        for kind, count in self._decoded.items():
            if count == 0:
                raise MediaError(
                    f"{self._source} has a {kind} track of which nothing decodes: give a complete file",
                    reason="corrupt",
                )
        total = sum(self._decoded.values()) + self._damaged
        if self._damaged > MAX_DAMAGED_SHARE * total:
            raise MediaError(
                f"{self._source} is corrupt ({self._damaged} of {total} packets do not decode): give an undamaged file",
                reason="corrupt",
            )
        declared = self._info.duration_seconds
        missing_seconds = 0.0 if declared is None else declared - self._end_seconds
        if missing_seconds > max(TRUNCATION_TOLERANCE_SECONDS, TRUNCATION_TOLERANCE_SHARE * (declared or 0.0)):
            raise MediaError(
                f"{self._source} is truncated (it ends after {self._end_seconds:.1f} s of the {declared:.1f} s that "
                "its header declares): give a complete file",
                reason="truncated",
            )
        if self._container_error:
            raise MediaError(
                f"{self._source} breaks off after {self._end_seconds:.1f} s ({self._container_error}): "
                "give a complete file",
                reason="truncated",
            )
        if self._damaged:
            log.warning("%s: %d damaged packets were skipped", self._source, self._damaged)
