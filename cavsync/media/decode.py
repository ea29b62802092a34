"""Decoding of one file or stream into timed frames and 16 kHz mono audio, in the order of its packets.

Memory is bounded by the codec's delay. Times are the container's presentation times in seconds since the start that it
declares; none is derived from a frame counter, so variable frame rates and late starts are preserved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from numpy.typing import NDArray

from cavsync.errors import MediaError
from cavsync.media.container import describe, index_remedy, open_confined, open_file
from cavsync.media.damage import DamageCheck
from cavsync.media.frame_times import OrderCheck, ReorderedTimes
from cavsync.media.packets import late_streams_note, read_packets
from cavsync.media.resample import AudioChunk, ChannelRule, MonoResampler, frame_pts_seconds
from cavsync.media.silence import first_sounding
from cavsync.media.track_ends import TrackEnds, require_end
from cavsync.media.track_mix import TrackMix
from cavsync.media.tracks import PLAYED, TrackChoice, Tracks, pick_tracks

DEFAULT_FRAME_SECONDS = 0.04
"""Frame period assumed where the container declares no frame rate."""
# For untrusted files. A little more than 8K UHD; a frame of this size takes 106 MB as RGB.
MAX_FRAME_PIXELS = 8192 * 4320
NOTED_CANCELLED_SECONDS = 0.5


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
        tracks: the tracks to read; by default those that a player selects, without audio tracks that are silent.
        all_audio: whether `apart` will be iterated over instead of the reader itself.
        sample_rate_hz: rate of the returned audio.
        channels: how several channels of a track become one; see `ChannelRule`.
        video_threads: decoder threads; 0 lets FFmpeg choose.

    `tracks` are those that are read, `notes` sentences about what is left out or was changed, complete after the end.

    Raises:
        MediaError: on opening: missing, empty or unreadable file, no video track, no audio track. While iterating:
            nothing decodes, too many packets are damaged, the frames' times contradict their order, or the file ends
            long before the end that its header declares of these tracks.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        file: IO[bytes] | None = None,
        tracks: TrackChoice = PLAYED,
        all_audio: bool = False,
        sample_rate_hz: int = 16_000,
        channels: ChannelRule = "mix",
        video_threads: int = 0,
    ) -> None:
        self.source = str(source)
        self._channels = channels
        self.sample_rate_hz = sample_rate_hz
        self.notes: list[str] = []
        self._file = file
        self._container = self._open()
        try:
            self.tracks = self._picked(tracks)
        except BaseException:
            self._container.close()
            raise
        self.notes += self.tracks.notes(all_audio=all_audio)
        video = self.tracks.video
        video.thread_type = "AUTO"
        video.codec_context.thread_count = video_threads
        video.codec_context.copy_opaque = True
        self._ends = TrackEnds(self._container)
        if file is not None:
            # Applies also where the size changes mid-file.
            video.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
        self.info = describe(self._container, video, self.tracks.audio[0])

    def __enter__(self) -> MediaReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the container. Safe to call twice."""
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        return (item for _, item in self._items(self.tracks.audio, is_apart=False))

    def apart(self) -> Iterator[tuple[int, VideoFrame | AudioChunk]]:
        """Iterate over the frames and all audio tracks that can be decoded: (number of the audio track, item)."""
        numbers = list(self.tracks.decodable)
        items = self._items(tuple(self.tracks.decodable.values()), is_apart=True)
        return ((numbers[place], item) for place, item in items)

    def _items(
        self, audio: Sequence[av.AudioStream], *, is_apart: bool
    ) -> Iterator[tuple[int, VideoFrame | AudioChunk]]:
        """Yield items of the video and of tracks of audio, mixed or apart, each with the place of its audio track."""
        places = {track.index: place for place, track in enumerate(audio)}
        num_apart, num_mixed = (len(audio), 1) if is_apart else (1, len(audio))
        converters = [
            FrameConverter(
                self.info.frame_rate_hz,
                self.sample_rate_hz,
                self.info.start_seconds,
                num_audio=num_mixed,
                channels=self._channels,
            )
            for _ in range(num_apart)
        ]
        damage = DamageCheck(self.source)
        times, order = ReorderedTimes(), OrderCheck()
        if self._file is None:
            damage.remedy = index_remedy(self._container, self.source) or damage.remedy
        for packet in self._packets(audio, damage):
            if packet.stream is self.tracks.video:
                times.add(packet)
            place = places.get(packet.stream.index, 0)
            try:
                # Only the video and the audio tracks are decoded, so no packet holds subtitles.
                frames = cast("list[av.VideoFrame | av.AudioFrame]", packet.decode())
            except av.error.FFmpegError as error:
                damage.count_damaged(packet.stream.type, error)
                continue
            damage.count_decoded(packet.stream.type, len(frames))
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    times.stamp(frame)
                try:
                    items = list(converters[place % num_apart].convert(frame, place % num_mixed))
                except MediaError as error:
                    raise MediaError(f"{self.source}: {error}", reason=error.reason) from None
                for item in items:
                    if isinstance(item, VideoFrame):
                        order.add(item.pts_seconds)
                    yield place, item
        for place, converter in enumerate(converters):
            for chunk in converter.flush():
                yield place, chunk
        damage.check()
        require_end(self.source, self._ends.missing((self.tracks.video, *audio)), damage.remedy)
        order.check(self.source)
        if note := late_streams_note(self._container):
            self.notes.append(f"{note} not read")
        if doubt := self._ends.doubt():
            self.notes.append(doubt)
        self._note_phase(converters[audio.index(self.tracks.audio[0])] if is_apart else converters[0])

    def _note_phase(self, converter: FrameConverter) -> None:
        if converter.cancelled_seconds > NOTED_CANCELLED_SECONDS:
            self.notes.append(
                f"left and right are in opposite phase and cancel in a mix for {converter.cancelled_seconds:.1f} s: "
                "their difference is scored there"
            )

    def _open(self) -> InputContainer:
        return open_file(self.source) if self._file is None else open_confined(self.source, self._file)

    def _picked(self, choice: TrackChoice) -> Tracks:
        """Return the tracks to read; a silent audio track gives way to one that can be heard."""
        picked = pick_tracks([self._container], self.source, choice)
        if not picked.spares or (self._file is None and not Path(self.source).is_file()):
            return picked
        heard = first_sounding(self._container, (*picked.audio, *picked.spares))
        self._container.close()
        self._container = self._open()
        if heard is None or heard is picked.audio[0]:
            return pick_tracks([self._container], self.source, choice)
        number = picked.all_audio.index(heard)
        self.notes.append(f"audio track {picked.audio_name} is skipped, because it is silent")
        return pick_tracks([self._container], self.source, replace(choice, audio=(number,)))

    def _packets(self, audio: Sequence[av.AudioStream], damage: DamageCheck) -> Iterator[av.Packet[Stream]]:
        wanted = {self.tracks.video.index, *(track.index for track in audio)}
        try:
            for packet in read_packets(self._container):
                self._ends.add(packet)
                # The empty packets that end decoders have no index of their own.
                if packet.stream.index in wanted:
                    yield packet
        except av.error.FFmpegError as error:
            damage.count_damaged("container", error)


class FrameConverter:
    """Converter of PyAV's decoded frames to upright RGB frames and mono audio with times in seconds.

    A frame without a timestamp is placed one nominal period after the one before. Times are counted from
    `zero_seconds` of the container's clock. With several tracks of audio, their mix is returned.
    """

    def __init__(
        self,
        frame_rate_hz: float | None,
        sample_rate_hz: int,
        zero_seconds: float = 0.0,
        *,
        num_audio: int = 1,
        channels: ChannelRule = "mix",
    ) -> None:
        self._zero_seconds = zero_seconds
        self._period_seconds = 1.0 / frame_rate_hz if frame_rate_hz else DEFAULT_FRAME_SECONDS
        self._next_seconds = 0.0
        self._resamplers = [
            MonoResampler(sample_rate_hz, zero_seconds=zero_seconds, channels=channels) for _ in range(num_audio)
        ]
        self._mix = TrackMix(num_audio, sample_rate_hz) if num_audio > 1 else None

    def convert(self, frame: av.VideoFrame | av.AudioFrame, place: int = 0) -> Iterator[VideoFrame | AudioChunk]:
        """Convert one decoded frame, of the audio track number `place`; audio is delayed while filters fill."""
        if isinstance(frame, av.VideoFrame):
            yield VideoFrame(self._pts_seconds(frame), _upright_rgb(frame), self._duration_seconds(frame))
        else:
            yield from self._mixed(place, self._resamplers[place].push(frame))

    def flush(self) -> Iterator[AudioChunk]:
        """Return the audio that the resampling filters still hold."""
        for place, resampler in enumerate(self._resamplers):
            yield from self._mixed(place, resampler.flush())
        if self._mix is not None:
            yield from self._mix.flush()

    @property
    def cancelled_seconds(self) -> float:
        """Duration of two channels in opposite phase, of which the difference was returned instead of the mix."""
        tracks = max(resampler.cancelled_seconds for resampler in self._resamplers)
        return tracks if self._mix is None else max(tracks, self._mix.cancelled_seconds)

    def _mixed(self, place: int, chunks: Iterator[AudioChunk]) -> Iterator[AudioChunk]:
        if self._mix is None:
            yield from chunks
            return
        for chunk in chunks:
            yield from self._mix.push(place, chunk)

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
