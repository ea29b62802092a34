"""Read a video file, or a part of it, with one decoded frame in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.error
import numpy as np

from cavsync.data.clip import read_until, require_same_length
from cavsync.data.faces.follow import FaceFollower, OpenFinder
from cavsync.data.shards.frame_choice import choose_frames
from cavsync.data.shards.jpeg import encode_jpeg
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.record import SampleContents
from cavsync.errors import MediaError
from cavsync.file_names import ffmpeg_path
from cavsync.media import AudioChunk, MediaReader
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.audio_file import join_chunks
from cavsync.media.packets import read_packets

# Durations in headers are rounded and may leave out the last frame's.
DURATION_TOLERANCE_SECONDS = 0.5
CUT_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True)
class _ReadRange:
    """The part of a file to read: from `begin_seconds` until `end_seconds`, both counted from `zero_seconds`."""

    zero_seconds: float
    begin_seconds: float
    end_seconds: float

    def holds(self, seconds: float) -> bool:
        return self.begin_seconds <= seconds < self.end_seconds


@dataclass
class _Decoded:
    """Times of all frames of a part, the end of the last, the kept frames as JPEG by their time, and the audio."""

    times: list[float] = field(default_factory=list)
    frames: dict[float, bytes] = field(default_factory=dict)
    chunks: list[AudioChunk] = field(default_factory=list)
    video_end_seconds: float = 0.0


def read_video(
    path: Path,
    options: PackOptions,
    *,
    cut_seconds: tuple[float, float] | None = None,
    open_finder: OpenFinder | None = None,
) -> SampleContents:
    """Read the frames and audio of a file that `options` ask for.

    cut_seconds: read this part only, if the file is long enough to be the whole video; a file that is too short for
    that is taken to be the part itself. open_finder: follow the faces in all frames, also those that are not kept.

    Raises:
        MediaError: unreadable, truncated, without video or audio, too short for the cut, or video and audio of
            different lengths; or no frame shows a face.
    """
    cut = None if cut_seconds is None else _cut_in_file(path, cut_seconds)
    limit_seconds = math.inf if options.max_seconds is None else options.max_seconds
    part = (
        _ReadRange(cut[0], 0.0, min(cut[1] - cut[0], limit_seconds))
        if cut
        else _ReadRange(0.0, -math.inf, limit_seconds)
    )
    # The packets give the times without decoding, so that only the chosen frames are encoded. If the decoded frames
    # turn out to have other times, a second pass encodes the right ones.
    follower = None if open_finder is None else FaceFollower(open_finder())
    found = _decode(path, part, frozenset(_choose(_packet_times(path, part), options)), options, follower)
    chosen = _choose(found.times, options)
    if not found.frames.keys() >= set(chosen):
        found = _decode(path, part, frozenset(chosen), options)
    if not found.times or not found.chunks:
        where = f" between {cut[0]:g} and {cut[1]:g} s" if cut else ""
        raise MediaError(f"{path} holds no video or no audio{where}: give a complete file", reason="corrupt")
    samples, audio_start_seconds = join_chunks(found.chunks)
    require_same_length(path, found.video_end_seconds, audio_start_seconds + len(samples) / SAMPLE_RATE_HZ)
    frames = [found.frames[time] for time in chosen]
    faces = None if follower is None else follower.main_track(str(path)).to_bytes()
    return SampleContents(frames, np.asarray(chosen), samples, audio_start_seconds, cut, faces=faces)


def _cut_in_file(path: Path, cut_seconds: tuple[float, float]) -> tuple[float, float] | None:
    """Return the cut if the file reaches its end, None if the file can only be the cut itself.

    Raises MediaError for a file that can be neither.
    """
    with MediaReader(path, video_threads=1) as reader:
        declared_seconds = reader.info.duration_seconds
    if declared_seconds is None or declared_seconds >= cut_seconds[1] - DURATION_TOLERANCE_SECONDS:
        return cut_seconds
    if declared_seconds <= cut_seconds[1] - cut_seconds[0] + CUT_TOLERANCE_SECONDS:
        return None
    raise MediaError(
        f"{path} lasts {declared_seconds:.1f} s: too short for the whole video, of which {cut_seconds[0]:g} to "
        f"{cut_seconds[1]:g} s are wanted, and too long for just this part: download it again",
        reason="too_short",
    )


def _choose(times: list[float], options: PackOptions) -> list[float]:
    kept = choose_frames(np.asarray(times, dtype=np.float64), count=options.frames, rate_hz=options.frame_rate_hz)
    return [times[index] for index in kept]


def _packet_times(path: Path, part: _ReadRange) -> list[float]:
    """Return the times in seconds of the part's frames from the packets; empty if the packets cannot be read."""
    try:
        with av.open(ffmpeg_path(path), metadata_errors="replace") as container:
            if not container.streams.video:
                return []
            start_seconds = 0.0 if container.start_time is None else container.start_time / av.time_base
            times = {
                float(packet.pts * packet.time_base) - start_seconds - part.zero_seconds
                for packet in read_packets(container, container.streams.video[0])
                if packet.pts is not None and packet.time_base is not None and not packet.is_discard
            }
    except (av.error.FFmpegError, OSError, ValueError):
        # Decoding will find the same damage and report it.
        return []
    return sorted(filter(part.holds, times))


def _decode(
    path: Path,
    part: _ReadRange,
    wanted: Container[float],
    options: PackOptions,
    follower: FaceFollower | None = None,
) -> _Decoded:
    found = _Decoded()
    channels = options.channels or "mix"
    for seconds, item in read_until(path, part.end_seconds, zero_seconds=part.zero_seconds, channels=channels):
        if isinstance(item, AudioChunk):
            found.chunks += _trim_before(part.begin_seconds, AudioChunk(seconds, item.samples))
        elif part.holds(seconds) and (not found.times or seconds > found.times[-1]):
            found.times.append(seconds)
            found.video_end_seconds = min(item.end_seconds - part.zero_seconds, part.end_seconds)
            if follower is not None:
                follower.push(item.rgb, seconds)
            if seconds in wanted:
                found.frames[seconds] = encode_jpeg(item.rgb, options.short_side_px, options.jpeg_quality)
    return found


def _trim_before(begin_seconds: float, chunk: AudioChunk) -> list[AudioChunk]:
    """Return the chunk without its samples before `begin_seconds`; an empty list if none is left."""
    early = 0 if chunk.pts_seconds >= begin_seconds else round((begin_seconds - chunk.pts_seconds) * SAMPLE_RATE_HZ)
    if early >= len(chunk.samples):
        return [] if early else [chunk]
    return [AudioChunk(chunk.pts_seconds + early / SAMPLE_RATE_HZ, chunk.samples[early:])]
