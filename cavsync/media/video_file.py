"""Read the frames of a file, which may have no audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from cavsync.errors import MediaError
from cavsync.media.container import is_cover, open_file
from cavsync.media.damage import DamageCheck
from cavsync.media.decode import FrameConverter, VideoFrame
from cavsync.media.frame_times import OrderCheck, ReorderedTimes
from cavsync.media.packets import read_packets
from cavsync.media.track_ends import TrackEnds, require_end


class FrameReader:
    """Iterator over the frames of a file's first video track, or of track number `video_stream`; use as a context
    manager.

    Times are those that `MediaReader` gives. `duration_seconds` is None where the file declares none.

    Raises:
        MediaError: unreadable, truncated, damaged, or without video.
    """

    def __init__(self, path: Path | str, video_stream: int | None = None) -> None:
        self.source = str(path)
        self._container = open_file(self.source)
        try:
            self._track = _chosen(self._container, self.source, video_stream)
        except BaseException:
            self._container.close()
            raise
        self._track.thread_type = "AUTO"
        self._track.codec_context.copy_opaque = True
        declared = self._container.duration
        self.duration_seconds = declared / av.time_base if declared else None

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[VideoFrame]:
        start = self._container.start_time
        rate = self._track.average_rate
        converter = FrameConverter(
            float(rate) if rate else None, 16_000, 0.0 if start is None else start / av.time_base
        )
        damage, ends = DamageCheck(self.source, ("video",)), TrackEnds(self._container)
        times, order = ReorderedTimes(), OrderCheck()
        for packet in self._packets(ends, damage):
            times.add(packet)
            try:
                frames = cast("list[av.VideoFrame]", packet.decode())
            except av.error.FFmpegError as error:
                damage.count_damaged("video", error)
                continue
            damage.count_decoded("video", len(frames))
            for frame in frames:
                times.stamp(frame)
                for item in converter.convert(frame):
                    assert isinstance(item, VideoFrame)
                    order.add(item.pts_seconds)
                    yield item
        damage.check()
        require_end(self.source, ends.missing((self._track,)), damage.remedy)
        order.check(self.source)

    def _packets(self, ends: TrackEnds, damage: DamageCheck) -> Iterator[av.Packet[Stream]]:
        try:
            for packet in read_packets(self._container):
                ends.add(packet)
                # The empty packets that end decoders have no index of their own.
                if packet.stream is self._track:
                    yield packet
        except av.error.FFmpegError as error:
            damage.count_damaged("container", error)


def _chosen(container: InputContainer, source: str, number: int | None) -> av.VideoStream:
    tracks = [track for track in container.streams.video if number is not None or not is_cover(track)]
    place = number or 0
    if place >= len(tracks):
        raise MediaError(f"{source} has no video track {place}: it has {len(tracks)}", reason="no_video")
    if tracks[place].codec_context is None:
        raise MediaError(
            f"{source} has a video track in a codec that this FFmpeg cannot decode: convert it", reason="unreadable"
        )
    return tracks[place]
