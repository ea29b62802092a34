"""Presentation times from the order of decoding, and files that were cut off."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from sync_clips import make_frames

from cavsync.errors import MediaError
from cavsync.media.frame_times import MAX_REORDERED_PICTURES, OrderCheck, ReorderedTimes


def shown(order: list[int], lost: frozenset[int] = frozenset()) -> dict[int, int]:
    """Times of pictures given as their places in the order of presentation, in the order of decoding."""
    times, found = ReorderedTimes(), {}
    packets: list[Any] = [SimpleNamespace(size=1, pts=None, dts=number, opaque=None) for number in range(len(order))]
    ready: list[tuple[int, Any]] = []
    for place, packet in zip(order, packets, strict=True):
        times.add(packet)
        if place not in lost:
            ready.append((place, packet))
    for place, packet in sorted(ready, key=lambda pair: pair[0]):
        frame: Any = SimpleNamespace(opaque=packet.opaque, pts=None)
        times.stamp(frame)
        found[place] = frame.pts
    return found


def test_pictures_are_shown_at_the_sorted_times_of_decoding() -> None:
    order = [0, 4, 2, 1, 3, 8, 6, 5, 7]
    assert shown(order) == {place: place for place in range(9)}


def test_a_lost_picture_does_not_displace_the_rest_for_long() -> None:
    count = 4 * MAX_REORDERED_PICTURES
    found = shown(list(range(count)), lost=frozenset({10}))
    late = [place for place, time in found.items() if time != place]
    assert late == list(range(11, 11 + MAX_REORDERED_PICTURES))


def test_given_times_are_kept() -> None:
    times = ReorderedTimes()
    packet: Any = SimpleNamespace(size=1, pts=7, dts=5, opaque=None)
    frame: Any = SimpleNamespace(opaque=None, pts=7)
    times.add(packet)
    times.stamp(frame)
    assert (packet.opaque, frame.pts) == (None, 7)


def test_times_that_contradict_the_order_are_refused_and_a_splice_is_not() -> None:
    splice, wrong = OrderCheck(), OrderCheck()
    for number in range(200):
        splice.add(float(number % 100))
        wrong.add(float(number ^ 1))
    splice.check("a.ts")
    with pytest.raises(MediaError, match="100 of 200"):
        wrong.check("a.mkv")


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pictures_of_avi_come_out_in_order(tmp_path: Path, codec: str) -> None:
    """The n-th picture is shown at n / 25 s, as it was written."""
    from cavsync.media import MediaReader, VideoFrame

    path = tmp_path / "a.avi"
    levels = make_frames(np.arange(50) / 25)
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt, video.options = 64, 48, "yuv420p", {"bf": "2", "qscale": "2"}
        audio: Any = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number, pixels in enumerate(levels):
            image = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            image.pts, image.time_base = number, Fraction(1, 25)
            for packet in video.encode(image):
                packet.pts = None
                out.mux(packet)
        sound: Any = av.AudioFrame.from_ndarray(np.zeros((1, 32_000), np.int16), "s16", "mono")
        sound.sample_rate, sound.pts, sound.time_base = 16_000, 0, Fraction(1, 16_000)
        for packet in [*video.encode(None), *audio.encode(sound), *audio.encode(None)]:
            packet.pts = packet.dts if packet.stream is video else packet.pts
            out.mux(packet)
    with MediaReader(path) as reader:
        frames = [item for item in reader if isinstance(item, VideoFrame)]
    assert [round(25 * frame.pts_seconds) for frame in frames] == list(range(50))
    found = [float(frame.rgb.mean()) for frame in frames]
    assert found == pytest.approx([float(pixels.mean()) for pixels in levels], abs=12)
