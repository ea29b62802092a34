"""Stretching of audio tracks, which takes out a drift: their samples are resampled and re-encoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any, cast

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.stream import Stream

from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import MediaError
from cavsync.media.container import reason_of
from cavsync.media.resample import SteadyClock, frame_pts_seconds

# Encoders whose name differs from that of their codec.
ENCODERS = {"mp3": "libmp3lame", "opus": "libopus", "vorbis": "libvorbis"}
MIN_BITS_PER_SECOND_AND_CHANNEL = 64_000
# The resampler takes a ratio of two integers; with these it is off by less than 1e-10.
MAX_RATE_HZ = 100_000


@dataclass(frozen=True)
class Drift:
    """An offset that changes steadily: `start_ms` at the start of the file, and `ms_per_minute` more each minute."""

    start_ms: float
    ms_per_minute: float

    @property
    def ratio(self) -> Fraction:
        """By how much longer the audio becomes."""
        return (1 + Fraction(self.ms_per_minute) / 60_000).limit_denominator(MAX_RATE_HZ)


def drift_of(records: Sequence[SyncScore], ms_per_minute: float) -> Drift:
    """Return the line of slope `ms_per_minute` through the trusted offsets, each of which lies amid its window."""
    middles = [
        record.audio_offset_ms - ms_per_minute / 60 * (record.time_seconds - record.window_seconds / 2)
        for record in records
        if record.is_measured and record.audio_offset_ms is not None
    ]
    return Drift(float(np.median(middles)), ms_per_minute)


class Stretcher:
    """Decodes the packets of an audio track, resamples them by `ratio` and encodes them for `target`.

    The time `start_seconds` of the container's clock stays where it is.
    """

    def __init__(
        self, source: av.AudioStream, target: av.AudioStream, ratio: Fraction, start_seconds: Fraction
    ) -> None:
        self._target = target
        self._ratio = ratio
        self._start_seconds = start_seconds
        self._rate_hz = source.codec_context.sample_rate
        self._layout = source.codec_context.layout.name
        self._clock: SteadyClock | None = None
        self._num_written = 0
        self._resampler = av.AudioResampler(
            format=target.codec_context.format, layout=self._layout, rate=ratio.numerator
        )

    def feed(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Any]]:
        """Yield encoded packets with times on the container's clock, without delay; an empty packet ends the track."""
        try:
            frames = cast("list[av.AudioFrame]", packet.decode())
        except av.error.FFmpegError as error:
            raise MediaError(
                f"the audio cannot be stretched, because a part does not decode ({reason_of(error)}): no file was "
                "written, give an undamaged file"
            ) from None
        for frame in frames:
            for piece in self._joined(frame):
                yield from self._encoded(piece)
        if not packet.size:
            yield from self._encoded(None)
            yield from self._target.encode(None)

    def _joined(self, frame: av.AudioFrame) -> Iterator[av.AudioFrame]:
        """Yield the frame, with silence before it where audio is missing; drop it where it repeats what was there."""
        seconds = frame_pts_seconds(frame)
        duration_seconds = frame.samples / frame.sample_rate
        if (frame.sample_rate, frame.layout.name) != (self._rate_hz, self._layout):
            raise MediaError("the audio changes its rate or channels, so it cannot be stretched: no file was written")
        if self._clock is None:
            first_seconds = Fraction(seconds or 0.0)
            moved_seconds = self._start_seconds + (first_seconds - self._start_seconds) * self._ratio
            self._num_written = round(moved_seconds * self._rate_hz)
            self._clock = SteadyClock(float(first_seconds))
        elif seconds is not None and not self._clock.follows(seconds):
            missing_seconds = seconds - self._clock.next_seconds
            self._clock = SteadyClock(max(seconds, self._clock.next_seconds))
            if missing_seconds <= -duration_seconds / 2:
                return
            if missing_seconds > 0:
                yield _silence(frame, round(missing_seconds * self._rate_hz))
        self._clock.advance(seconds, duration_seconds)
        yield frame

    def _encoded(self, frame: av.AudioFrame | None) -> Iterator[av.Packet[Any]]:
        if frame is not None:
            frame.sample_rate = self._ratio.denominator
            frame.pts = None
        for piece in self._resampler.resample(frame):
            piece.sample_rate, piece.time_base = self._rate_hz, Fraction(1, self._rate_hz)
            piece.pts = self._num_written
            self._num_written += piece.samples
            yield from self._target.encode(piece)


def _silence(like: av.AudioFrame, num_samples: int) -> av.AudioFrame:
    frame = av.AudioFrame(format=like.format.name, layout=like.layout.name, samples=num_samples)
    for plane in frame.planes:
        plane.update(bytes([128 if like.format.name.startswith("u8") else 0]) * plane.buffer_size)
    frame.sample_rate = like.sample_rate
    return frame


def add_stretched(stream: av.AudioStream, sink: OutputContainer) -> av.AudioStream:
    """Add a track to the output that is encoded in the codec, rate, channels and bit rate of `stream`.

    Raises:
        MediaError: this FFmpeg has no encoder for the codec, or the container cannot hold it.
    """
    codec = stream.codec_context
    name = ENCODERS.get(codec.codec.canonical_name, codec.codec.canonical_name)
    try:
        target = cast("av.AudioStream", sink.add_stream(name, rate=codec.sample_rate))
        target.codec_context.layout = codec.layout.name
        floor = MIN_BITS_PER_SECOND_AND_CHANNEL * codec.channels
        target.codec_context.bit_rate = codec.bit_rate or floor
        target.codec_context.open()
    except (ValueError, av.error.FFmpegError) as error:
        raise MediaError(
            f"the audio cannot be re-encoded in {codec.codec.canonical_name} ({reason_of(error)}): no file was "
            "written, convert the audio to AAC first"
        ) from None
    return target


def stretched_packets(
    packets: Iterator[av.Packet[Stream]], stretchers: Mapping[av.AudioStream, Stretcher]
) -> Iterator[av.Packet[Stream]]:
    """Yield `packets` with those of some streams replaced by what their stretchers make of them."""
    by_index = {stream.index: (stream, stretcher) for stream, stretcher in stretchers.items()}
    for packet in chain(packets, map(_end_of, stretchers)):
        if packet.stream_index not in by_index:
            yield packet
            continue
        stream, stretcher = by_index[packet.stream_index]
        for new in stretcher.feed(packet):
            new.stream = stream
            yield new


def _end_of(stream: Stream) -> av.Packet[Stream]:
    """Return the empty packet that ends a decoder."""
    last = av.Packet()
    last.stream = stream
    last.time_base = stream.time_base or Fraction(1, av.time_base)
    return last
