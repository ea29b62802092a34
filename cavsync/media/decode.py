"""Decode one file or stream into timed pictures and 16 kHz mono sound, in the order of its packets.

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
from cavsync.media.confined import CONTAINERS, limit_pictures, open_confined
from cavsync.media.resample import MonoResampler

log = logging.getLogger(__name__)

MAX_DAMAGED_SHARE = 0.2
TRUNCATION_TOLERANCE_SECONDS = 1.0
TRUNCATION_TOLERANCE_SHARE = 0.05


@dataclass(frozen=True)
class VideoFrame:
    """One picture: `rgb` (H, W, 3) uint8, shown from `pts_seconds` on."""

    pts_seconds: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class AudioChunk:
    """Mono sound: `samples` (n,) float32 at 16 kHz, the first of them heard at `pts_seconds`."""

    pts_seconds: float
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class MediaInfo:
    """What the container declares. `duration_seconds` is None where it declares nothing (live streams, raw streams)."""

    container: str
    duration_seconds: float | None
    start_seconds: float
    video_codec: str
    width: int
    height: int
    frame_rate_hz: float | None
    audio_codec: str
    audio_rate_hz: int
    audio_channels: int
    decoder: str


class MediaReader:
    """Iterate over the pictures and sounds of a file: `with MediaReader(path) as reader: for item in reader: ...`.

    Args:
        source: a path, or an address that FFmpeg opens.
        file: an opened, seekable file to read instead, which `source` then only names. It is confined: it may not
            refer to other files or addresses (see `confined`). Not closed here.
        sample_rate_hz: rate of the sound handed out.
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
        self._container = _open(self.source) if file is None else _open_file(self.source, file)
        try:
            self._video = self._track("video")
            self._audio = self._track("audio")
        except MediaError:
            self._container.close()
            raise
        self._video.thread_type = "AUTO"
        self._video.codec_context.thread_count = video_threads
        if file is not None:
            limit_pictures(self._video)
        self.info = self._describe()

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
        resampler = MonoResampler(self.sample_rate_hz, zero_seconds=self.info.start_seconds)
        clock = _FrameClock(self.info.frame_rate_hz, self.info.start_seconds)
        health = _Health(self.source, self.info)
        for packet in self._packets(health):
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                health.damaged(packet.stream.type, error)
                continue
            health.decoded(packet.stream.type, len(frames))
            for frame in frames:
                if packet.stream.type == "video":
                    picture = VideoFrame(clock.pts_seconds(frame), _upright_rgb(frame))
                    health.reached(picture.pts_seconds + clock.period_seconds)
                    yield picture
                else:
                    for pts_seconds, samples in resampler.push(frame):
                        health.reached(pts_seconds + len(samples) / self.sample_rate_hz)
                        yield AudioChunk(pts_seconds, samples)
        for pts_seconds, samples in resampler.flush():
            health.reached(pts_seconds + len(samples) / self.sample_rate_hz)
            yield AudioChunk(pts_seconds, samples)
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

    def _track(self, kind: str) -> Any:
        tracks = [track for track in self._container.streams if track.type == kind]
        # A cover picture is a video track to FFmpeg, but it never moves.
        tracks = [track for track in tracks if not (kind == "video" and _is_cover(track))]
        if not tracks:
            found = ", ".join(sorted({track.type for track in self._container.streams})) or "nothing"
            raise MediaError(
                f"{self.source} has no {kind} track (found: {found}): sync needs one video and one audio track",
                reason=f"no_{kind}",
            )
        if tracks[0].codec_context is None:
            raise MediaError(
                f"{self.source} has a {kind} track in a codec that this FFmpeg cannot decode: convert it",
                reason="unreadable",
            )
        return tracks[0]

    def _describe(self) -> MediaInfo:
        video, audio, container = self._video, self._audio, self._container
        rate = video.average_rate or video.guessed_rate
        return MediaInfo(
            container=container.format.name,
            duration_seconds=None if container.duration is None else container.duration / av.time_base,
            start_seconds=0.0 if container.start_time is None else container.start_time / av.time_base,
            video_codec=video.codec_context.name,
            width=video.codec_context.width,
            height=video.codec_context.height,
            frame_rate_hz=None if rate is None else float(rate),
            audio_codec=audio.codec_context.name,
            audio_rate_hz=audio.codec_context.sample_rate,
            audio_channels=audio.codec_context.channels,
            decoder="libavcodec " + ".".join(str(part) for part in av.library_versions["libavcodec"]),
        )


def _open(source: str) -> Any:
    path = Path(source)
    if "://" not in source:
        if not path.exists():
            raise MediaError(f"{source} does not exist: give the path of a video file", reason="missing")
        if path.is_dir():
            raise MediaError(f"{source} is a folder: give the path of a video file", reason="missing")
        if path.stat().st_size == 0:
            raise MediaError(f"{source} is empty (zero bytes): give a complete video file", reason="empty")
    try:
        return av.open(source, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(source, error, "that FFmpeg reads") from None


def _open_file(name: str, file: IO[bytes]) -> Any:
    if file.seek(0, 2) == 0:
        raise MediaError(f"{name} is empty (zero bytes): give a complete video file", reason="empty")
    file.seek(0)
    try:
        return open_confined(file)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise _unreadable(name, error, f"of one of these containers: {', '.join(CONTAINERS)}") from None


def _unreadable(name: str, error: Exception, wanted: str) -> MediaError:
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(
        f"{name} cannot be opened as audio-visual media ({reason}): give a complete file {wanted}",
        reason="unreadable",
    )


def _is_cover(track: Any) -> bool:
    return bool(track.disposition & av.stream.Disposition.attached_pic)


def _upright_rgb(frame: Any) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = frame.to_ndarray(format="rgb24", threads=1)
    # Phones store the turn of the camera beside the picture (counter-clockwise degrees) instead of turning it.
    quarter_turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


class _FrameClock:
    """Presentation times of pictures; one without a timestamp follows its predecessor by the nominal period."""

    def __init__(self, frame_rate_hz: float | None, zero_seconds: float) -> None:
        self._zero_seconds = zero_seconds
        self.period_seconds = 1.0 / frame_rate_hz if frame_rate_hz else 0.04
        self._next_seconds = 0.0

    def pts_seconds(self, frame: Any) -> float:
        seconds = self._next_seconds if frame.pts is None else float(frame.pts * frame.time_base) - self._zero_seconds
        self._next_seconds = seconds + self.period_seconds
        return seconds


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
        if declared is None:
            return
        missing_seconds = declared - self._end_seconds
        if missing_seconds > max(TRUNCATION_TOLERANCE_SECONDS, TRUNCATION_TOLERANCE_SHARE * declared):
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
