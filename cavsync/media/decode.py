"""Decoding of one file or stream into timed frames and 16 kHz mono audio, in the order of its packets.

Memory is bounded by the codec's delay. Times are the container's presentation times in seconds since the start that it
declares; none is derived from a frame counter, so variable frame rates and late starts are preserved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import av
import av.error
import numpy as np
from av.stream import Stream
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.media.container import describe, open_confined, open_file, pick_tracks
from cavsync.media.frame_times import OrderCheck, ReorderedTimes
from cavsync.media.resample import AudioChunk, MonoResampler, frame_pts_seconds
from cavsync.media.track_ends import TrackEnds, require_end

log = logging.getLogger(__name__)

DEFAULT_FRAME_SECONDS = 0.04
"""Frame period assumed where the container declares no frame rate."""
# For untrusted files. A little more than 8K UHD; a frame of this size takes 106 MB as RGB.
MAX_FRAME_PIXELS = 8192 * 4320
MAX_DAMAGED_SHARE = 0.2


@dataclass(frozen=True)
class VideoFrame:
    """One frame: `rgb` (H, W, 3) uint8, shown from `pts_seconds` on for `duration_seconds`.

    The duration is the container's; where that gives none, the nominal frame period.
    """

    pts_seconds: float
    rgb: NDArray[np.uint8]
    duration_seconds: float

    @property
    def end_seconds(self) -> float:
        """Time at which the frame stops being shown."""
        return self.pts_seconds + self.duration_seconds


class MediaReader:
    """Iterator over the frames and audio of a file: `with MediaReader(path) as reader: for item in reader: ...`.

    Args:
        source: a path, or an address that FFmpeg opens.
        file: an opened, seekable file to read instead; `source` then only names it in messages. It is untrusted: it
            cannot make FFmpeg open other files or addresses (see `open_confined`). It is not closed here.
        sample_rate_hz: rate of the returned audio.
        video_threads: decoder threads; 0 lets FFmpeg choose.

    Raises:
        MediaError: on opening: missing, empty or unreadable file, no video track, no audio track. While iterating:
            nothing decodes, too many packets are damaged, the pictures' times contradict their order, or the file ends
            long before the end that its header declares of these tracks.
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
            self._video, self._audio = pick_tracks([self._container], self.source)
        except MediaError:
            self._container.close()
            raise
        self._video.thread_type = "AUTO"
        self._video.codec_context.thread_count = video_threads
        self._video.codec_context.copy_opaque = True
        self._ends = TrackEnds(self._container)
        if file is not None:
            # Applies also where the size changes mid-file.
            self._video.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        self.info = describe(self._container, self._video, self._audio)

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the container. Safe to call twice."""
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        converter = FrameConverter(self.info.frame_rate_hz, self.sample_rate_hz, self.info.start_seconds)
        damage = _DamageCheck(self.source)
        times, order = ReorderedTimes(), OrderCheck()
        for packet in self._packets(damage):
            if packet.stream is self._video:
                times.add(packet)
            try:
                # Only the video and the audio track are decoded, so no packet holds subtitles.
                frames = cast("list[av.VideoFrame | av.AudioFrame]", packet.decode())
            except av.error.FFmpegError as error:
                damage.count_damaged(packet.stream.type, error)
                continue
            damage.count_decoded(packet.stream.type, len(frames))
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    times.stamp(frame)
                for item in converter.convert(frame):
                    if isinstance(item, VideoFrame):
                        order.add(item.pts_seconds)
                    yield item
        yield from converter.flush()
        damage.check()
        require_end(self.source, self._ends.missing((self._video, self._audio)))
        order.check(self.source)

    def _packets(self, damage: _DamageCheck) -> Iterator[av.Packet[Stream]]:
        try:
            for packet in self._container.demux():
                self._ends.add(packet)
                if packet.stream in (self._video, self._audio):
                    yield packet
        except av.error.FFmpegError as error:
            damage.count_damaged("container", error)


class FrameConverter:
    """Converter of PyAV's decoded frames to upright RGB frames and mono audio with times in seconds.

    A frame without a timestamp is placed one nominal period after the one before. Times are counted from
    `zero_seconds` of the container's clock.
    """

    def __init__(self, frame_rate_hz: float | None, sample_rate_hz: int, zero_seconds: float = 0.0) -> None:
        self._zero_seconds = zero_seconds
        self._period_seconds = 1.0 / frame_rate_hz if frame_rate_hz else DEFAULT_FRAME_SECONDS
        self._next_seconds = 0.0
        self._resampler = MonoResampler(sample_rate_hz, zero_seconds=zero_seconds)

    def convert(self, frame: av.VideoFrame | av.AudioFrame) -> Iterator[VideoFrame | AudioChunk]:
        """Convert one decoded frame; audio is delayed while the resampling filter fills."""
        if isinstance(frame, av.VideoFrame):
            yield VideoFrame(self._pts_seconds(frame), _upright_rgb(frame), self._duration_seconds(frame))
        else:
            yield from self._resampler.push(frame)

    def flush(self) -> Iterator[AudioChunk]:
        """Return the audio that the resampling filter still holds."""
        return self._resampler.flush()

    def _pts_seconds(self, frame: av.VideoFrame) -> float:
        container_seconds = frame_pts_seconds(frame)
        seconds = self._next_seconds if container_seconds is None else container_seconds - self._zero_seconds
        self._next_seconds = seconds + self._period_seconds
        return seconds

    def _duration_seconds(self, frame: av.VideoFrame) -> float:
        if frame.duration <= 0 or frame.time_base is None:
            return self._period_seconds
        return float(frame.duration * frame.time_base)


def _upright_rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    # PyAV's stubs do not tell that rgb24 has 8 bits.
    rgb = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24", threads=1))
    # Phones store the camera's rotation (counter-clockwise degrees) as metadata and leave the pixels unrotated.
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


class _DamageCheck:
    """Counts damaged packets, to reject a file that is too damaged."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._decoded = {"video": 0, "audio": 0}
        self._damaged = 0
        self._container_error = ""

    def count_decoded(self, kind: str, count: int) -> None:
        self._decoded[kind] += count

    def count_damaged(self, kind: str, error: Exception) -> None:
        self._damaged += 1
        if kind == "container":
            self._container_error = str(error)
        log.debug("%s: damaged %s packet: %s", self._source, kind, error)

    def check(self) -> None:
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
        if self._container_error:
            raise MediaError(
                f"{self._source} breaks off ({self._container_error}): give a complete file", reason="truncated"
            )
        if self._damaged:
            log.warning("%s: %d damaged packets were skipped", self._source, self._damaged)
