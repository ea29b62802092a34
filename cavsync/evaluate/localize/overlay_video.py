"""Write a clip with a heat map over each frame, and its audio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from cavsync.atomic import atomic_path
from cavsync.data.clip import Clip, load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.sampling import take_sample
from cavsync.errors import MediaError
from cavsync.evaluate.inputs.clip_inputs import plan_for
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import centred_segment
from cavsync.evaluate.localize.heat_map import cosine_heat
from cavsync.evaluate.localize.overlay import overlay
from cavsync.file_names import ffmpeg_path
from cavsync.media import MediaReader, VideoFrame
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.resample import ChannelRule

BATCH_FRAMES = 16
TIME_BASE = Fraction(1, 90_000)
AUDIO_BLOCK_SAMPLES = 1024
ColourRange = Literal["clip", "picture"]
# Ends of the colour scale: the colder half stays uncovered, and single extreme patches do not compress the scale.
SCALE_PERCENTILES = (50, 99.5)

FloatArray = NDArray[np.float32]
Progress = Callable[[int, int], None]


def heat_of_clip(clip: Clip, encoder: Encoder, progress: Progress = lambda *_: None) -> FloatArray:
    """Compute the heat map of every frame for the audio around it, (n, rows, columns); `progress(done, total)` counts
    frames."""
    plan = plan_for(encoder)
    heats: list[FloatArray] = []
    for first in range(0, len(clip.frames), BATCH_FRAMES):
        places = np.arange(first, min(first + BATCH_FRAMES, len(clip.frames)))
        sample = take_sample(clip, places, plan)
        patches = encoder.embed_frames(sample.frames[sample.tubelets].transpose(0, 1, 3, 4, 2)).patches
        times = clip.pts_seconds[places] - clip.audio_start_seconds
        segments = [centred_segment(clip.audio, float(time), encoder.segment_frames)[0] for time in times]
        audio = encoder.embed_audio(np.concatenate(segments)).pooled
        heats += [cosine_heat(audio[k : k + 1], patches[k], encoder.visual_grid) for k in range(len(places))]
        progress(len(heats), len(clip.frames))
    return np.stack(heats)


def write_overlay_video(
    source: Path,
    target: Path,
    encoder: Encoder,
    *,
    max_seconds: float = 30.0,
    scale: ColourRange = "clip",
    channels: ChannelRule = "mix",
    progress: Progress = lambda *_: None,
) -> FloatArray:
    """Write `source` up to `max_seconds` with the heat map over its central square, as H.264 and AAC in mp4; return the
    heat maps (n, rows, columns).

    Frames keep their timestamps. Scale "clip" spreads the colours over the heat of the whole clip, from its median to
    its 99.5th percentile, so that places and times can be compared. Scale "picture" spreads them over each frame, so
    that only its places can be compared: a frame whose patches are nearly equal looks like one with a clear peak.
    channels: how several channels of audio become one. Raises MediaError for an unreadable clip.
    """
    clip = load_clip(source, encoder.img_size, max_seconds=max_seconds, channels=channels)
    heats = heat_of_clip(clip, encoder, progress)
    axis = None if scale == "clip" else (1, 2)
    lows, highs = (np.broadcast_to(ends, len(heats)) for ends in np.percentile(heats, SCALE_PERCENTILES, axis=axis))
    assert isinstance(clip.audio, Waveform)
    try:
        with atomic_path(target) as temporary, av.open(ffmpeg_path(temporary), "w", format="mp4") as output:
            frames = _overlaid(source, clip.pts_seconds, heats, lows, highs)
            _encode(output, frames, clip.audio.samples, clip.audio_start_seconds)
    except av.error.FFmpegError as error:
        raise MediaError(f"{source} cannot be written as an overlay ({error}): try another clip") from None
    return heats


def _overlaid(
    source: Path, times_seconds: NDArray[np.float64], heats: FloatArray, lows: FloatArray, highs: FloatArray
) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Yield the time in seconds and the image of each frame with a heat map, cut to even sides, which H.264 needs."""
    places = {float(time): place for place, time in enumerate(times_seconds)}
    with MediaReader(source, video_threads=1) as reader:
        for item in reader:
            if not isinstance(item, VideoFrame) or item.pts_seconds not in places:
                continue
            height, width = (side - side % 2 for side in item.rgb.shape[:2])
            image = item.rgb[:height, :width].copy()
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = image[top : top + side, left : left + side]
            place = places.pop(item.pts_seconds)
            overlaid = overlay(square, heats[place], float(lows[place]), float(highs[place]))
            image[top : top + side, left : left + side] = overlaid
            yield item.pts_seconds, image
            if not places:
                return


def _encode(
    output: OutputContainer,
    frames: Iterator[tuple[float, NDArray[np.uint8]]],
    samples: FloatArray,
    audio_start_seconds: float,
) -> None:
    """Encode and mux frames and audio in the order of time."""
    video = output.add_stream("libx264", rate=30, options={"crf": "20", "preset": "veryfast"})
    video.pix_fmt, video.time_base, video.codec_context.time_base = "yuv420p", TIME_BASE, TIME_BASE
    audio = output.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
    audio_start = round(audio_start_seconds * SAMPLE_RATE_HZ)
    written = 0
    for number, (time_seconds, image) in enumerate(frames):
        if number == 0:
            video.height, video.width = image.shape[:2]
        wanted = min(len(samples), max(0, round(time_seconds * SAMPLE_RATE_HZ) - audio_start))
        written = _mux_audio(output, audio, samples, audio_start, written, wanted)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = round(time_seconds / TIME_BASE), TIME_BASE
        output.mux(video.encode(frame))
    _mux_audio(output, audio, samples, audio_start, written, len(samples))
    output.mux(video.encode(None))
    output.mux(audio.encode(None))


def _mux_audio(
    output: OutputContainer, stream: av.AudioStream, samples: FloatArray, start: int, written: int, wanted: int
) -> int:
    """Encode blocks of samples until at least `wanted` are written; return how many are written."""
    while written < wanted:
        block = samples[written : written + AUDIO_BLOCK_SAMPLES]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, start + written, Fraction(1, SAMPLE_RATE_HZ)
        output.mux(stream.encode(frame))
        written += len(block)
    return written
