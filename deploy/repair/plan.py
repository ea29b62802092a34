"""What a copy does with the streams of its input."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from av.container import InputContainer
from av.stream import Stream

from cavsync.deploy.repair.programme import Programme
from cavsync.errors import MediaError
from cavsync.media.container import is_cover


@dataclass(frozen=True)
class Plan:
    """Delays by stream index, the programme to keep, and the indices of streams to leave out and to stretch, and of
    audio without which there is no repair."""

    delays_seconds: Mapping[int, Fraction]
    programme: Programme | None = None
    left_out: frozenset[int] = frozenset()
    needed_audio: frozenset[int] = frozenset()
    stretched: frozenset[int] = frozenset()

    def can_lack(self, stream: Stream) -> bool:
        """Return whether a stream may be left out too: not the audio to repair, nor the only video."""
        if is_cover(stream):
            return True
        videos = [one for one in stream.container.streams.video if not is_cover(one)]
        others = [one.index for one in videos if one.index not in (*self.left_out, stream.index)]
        return stream.index not in self.needed_audio and (stream.type != "video" or bool(others))

    def video_delay_seconds(self, container: InputContainer) -> Fraction:
        """Return the delay of the first video that is copied and not a cover."""
        return self.delays_seconds.get(first_video(container, self.left_out), Fraction(0))


def first_video(container: InputContainer, left_out: Collection[int]) -> int:
    """Return the index of the first video that is copied and not a cover.

    Raises:
        MediaError: there is none.
    """
    videos = [stream.index for stream in container.streams.video if not is_cover(stream)]
    copied = [index for index in videos if index not in left_out]
    if not copied and videos:
        raise MediaError(f"stream {videos[0]} is the video of which the offset is removed: it cannot be left out")
    if not copied:
        raise MediaError(f"{container.name} lacks video: give a file with both")
    return copied[0]
