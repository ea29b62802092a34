"""Encode frames and samples into a file with exact timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np

from cavsync.data.synth.camera import Frame
from cavsync.data.synth.scene import AudioArray
from cavsync.data.synth.spec import ENCODINGS, ClipSpec
from cavsync.errors import ConfigError
from cavsync.file_names import ffmpeg_path

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}
# Fast settings, and one thread, so that a file depends on its description only.
_VIDEO_OPTIONS = {
    "libx264": {"preset": "superfast", "crf": "23", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8", "crf": "12", "b": "1M", "threads": "1"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "threads": "1"},
    "mpeg4": {"qscale": "4", "threads": "1"},
    "mpeg1video": {"b": "2M", "threads": "1"},
    "mpeg2video": {"b": "2M", "threads": "1"},
}
_FORMATS = {"mkv": "matroska", "mpg": "mpeg"}
_CHUNK_SECONDS = 0.25
# LAME's encoder and decoder put 576 + 529 samples before the first one. Other containers declare this delay and players
# skip it; AVI cannot, so there the delay replaces that many samples of the audio.
_MP3_DELAY_SAMPLES = 1105


def write_media(spec: ClipSpec, frames: Iterator[tuple[float, Frame]], audio: AudioArray, path: Path) -> None:
    """Encode into the spec's container; `frames` as `render` yields them, `audio` float32 (samples, channels).

    In the decoded file, frame k has pts k / fps and sample n the time n / rate. Raises ConfigError for a
    combination of container, codecs, rate and channels that is not in ENCODINGS.
    """
    _check_encoding(spec)
    with av.open(ffmpeg_path(path), "w", format=_FORMATS.get(spec.container, spec.container)) as output:
        options = _VIDEO_OPTIONS[spec.video_codec]
        video_stream = cast(av.VideoStream, output.add_stream(spec.video_codec, rate=spec.fps, options=options))
        video_stream.width, video_stream.height, video_stream.pix_fmt = spec.width, spec.height, "yuv420p"
        layout = _LAYOUTS[spec.channels]
        audio_stream = cast(av.AudioStream, output.add_stream(spec.audio_codec, rate=spec.audio_rate_hz, layout=layout))
        chunks = _audio_frames(spec, audio)
        audio_until = 0.0
        for index, (pts_seconds, image) in enumerate(frames):
            # Interleave: some containers buffer only a fraction of a second of either stream.
            while audio_until <= pts_seconds and (chunk := next(chunks, None)) is not None:
                output.mux(audio_stream.encode(chunk))
                audio_until += _CHUNK_SECONDS
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, 1 / spec.fps
            output.mux(video_stream.encode(frame))
        for chunk in chunks:
            output.mux(audio_stream.encode(chunk))
        output.mux(video_stream.encode(None))
        output.mux(audio_stream.encode(None))


def _audio_frames(spec: ClipSpec, audio: AudioArray) -> Iterator[av.AudioFrame]:
    """Yield chunks of 16-bit samples with their pts."""
    pcm = np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16)
    step = round(_CHUNK_SECONDS * spec.audio_rate_hz)
    first = _MP3_DELAY_SAMPLES if spec.container == "avi" else 0
    for start in range(first, len(pcm), step):
        chunk = np.ascontiguousarray(pcm[start : start + step]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(chunk, format="s16", layout=_LAYOUTS[spec.channels])
        frame.sample_rate, frame.pts, frame.time_base = spec.audio_rate_hz, start, Fraction(1, spec.audio_rate_hz)
        yield frame


def _check_encoding(spec: ClipSpec) -> None:
    asked = (spec.container, spec.video_codec, spec.audio_codec)
    for encoding in ENCODINGS:
        if (encoding.container, encoding.video_codec, encoding.audio_codec) == asked:
            fits_fps = not encoding.fps or spec.fps in encoding.fps
            if fits_fps and spec.audio_rate_hz in encoding.audio_rates_hz and spec.channels <= encoding.max_channels:
                return
            raise ConfigError(
                f"{' + '.join(asked)} cannot carry {spec.fps} fps with {spec.channels} channels at"
                f" {spec.audio_rate_hz} Hz: choose rates of {encoding.audio_rates_hz} Hz, at most"
                f" {encoding.max_channels} channels, and a frame rate that the codec supports."
            )
    known = ", ".join(f"{e.container} + {e.video_codec} + {e.audio_codec}" for e in ENCODINGS)
    raise ConfigError(f"Cannot write {' + '.join(asked)}: choose one of {known}.")
