"""Chunks of a live stream in WebSocket messages: a line of JSON, a line feed, then the bytes.

    {"type": "video", "pts_seconds": 1.2, "format": "rgb24", "width": 640, "height": 360}
    {"type": "video", "pts_seconds": 1.2, "format": "jpeg"}
    {"type": "audio", "pts_seconds": 1.2, "format": "f32le", "sample_rate_hz": 48000, "channels": 2}

Every chunk describes itself, so an unusable one does not affect the others. Audio is `f32le` (full scale 1) or
`s16le`, channels interleaved.
"""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.errors import MediaError
from cavsync.media.decode import MAX_FRAME_PIXELS
from cavsync.records import shown

MAX_HEADER_BYTES = 1024
MAX_CHANNELS = 64
# Live senders push much shorter chunks than this.
MAX_AUDIO_SECONDS = 10.0
SAMPLE_TYPES: dict[str, np.dtype[Any]] = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}
FIELDS = {
    ("video", "rgb24"): {"type", "pts_seconds", "format", "width", "height"},
    ("video", "jpeg"): {"type", "pts_seconds", "format"},
    **{("audio", name): {"type", "pts_seconds", "format", "sample_rate_hz", "channels"} for name in SAMPLE_TYPES},
}


@dataclass(frozen=True)
class PushedFrame:
    """An RGB frame (H, W, 3), uint8, shown from `pts_seconds`."""

    pts_seconds: float
    rgb: NDArray[np.uint8]


@dataclass(frozen=True)
class PushedAudio:
    """Audio samples (n, channels), float32 or int16; the first is heard at `pts_seconds`."""

    pts_seconds: float
    samples: NDArray[np.float32] | NDArray[np.int16]
    sample_rate_hz: int


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8, without NaN or infinity.

    Raises:
        MediaError: the text is anything else.
    """
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise MediaError(f"{shown(text)} is not JSON: send a JSON object") from None
    if not isinstance(found, dict):
        raise MediaError(f"{shown(text)} is not a JSON object: send one with a 'type'")
    return found


def parse_chunk(message: bytes) -> PushedFrame | PushedAudio:
    """Parse a binary message into a frame or audio.

    Raises:
        MediaError: the header is invalid, or the bytes do not match it.
    """
    end = message.find(b"\n", 0, MAX_HEADER_BYTES + 1)
    if end < 0:
        raise MediaError(
            f"the message has no line of JSON in its first {MAX_HEADER_BYTES} bytes: start it with the header and a "
            "line feed"
        )
    header, content = parse_object(message[:end]), memoryview(message)[end + 1 :]
    kind = (header.get("type"), header.get("format"))
    if not all(isinstance(part, str) for part in kind) or kind not in FIELDS:
        known = ", ".join(" ".join(pair) for pair in FIELDS)
        raise MediaError(f"the chunk is {shown(kind[0])} in format {shown(kind[1])}: send one of {known}")
    if set(header) != FIELDS[kind]:
        raise MediaError(f"the header has the fields {shown(sorted(header))}: give {', '.join(sorted(FIELDS[kind]))}")
    pts_seconds = _number(header, "pts_seconds")
    if kind == ("video", "rgb24"):
        return PushedFrame(pts_seconds, _raw_frame(content, _count(header, "width"), _count(header, "height")))
    if kind == ("video", "jpeg"):
        return PushedFrame(pts_seconds, _jpeg_frame(content))
    return _audio(pts_seconds, header, content)


def _raw_frame(content: memoryview, width: int, height: int) -> NDArray[np.uint8]:
    if len(content) != 3 * width * height:
        raise MediaError(
            f"the frame of {width} by {height} has {len(content)} bytes: send {3 * width * height}, RGB row by row"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(height, width, 3)


def _jpeg_frame(content: memoryview) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as frame:
            if frame.width * frame.height > MAX_FRAME_PIXELS:
                raise MediaError(
                    f"the frame is {frame.width} by {frame.height}: send at most {MAX_FRAME_PIXELS} pixels"
                )
            return np.asarray(frame.convert("RGB"))
    except Image.DecompressionBombError:
        raise MediaError(f"the frame has more than {MAX_FRAME_PIXELS} pixels: send at most as many") from None
    except (OSError, ValueError, SyntaxError):
        raise MediaError("the frame is not a complete JPEG: send a whole baseline or progressive file") from None


def _audio(pts_seconds: float, header: dict[str, Any], content: memoryview) -> PushedAudio:
    channels, rate_hz = _count(header, "channels"), _count(header, "sample_rate_hz")
    if channels > MAX_CHANNELS:
        raise MediaError(f"the audio has {channels} channels: send at most {MAX_CHANNELS}")
    dtype = SAMPLE_TYPES[header["format"]]
    width_bytes = channels * dtype.itemsize
    if len(content) % width_bytes:
        raise MediaError(
            f"{len(content)} bytes of audio are not a multiple of {width_bytes} ({channels} channels of "
            f"{header['format']}): send whole samples"
        )
    if len(content) // width_bytes > MAX_AUDIO_SECONDS * rate_hz:
        raise MediaError(f"the chunk holds more than {MAX_AUDIO_SECONDS:g} s of audio: send shorter chunks")
    samples = np.frombuffer(content, dtype=dtype).reshape(-1, channels)
    return PushedAudio(pts_seconds, samples.astype(dtype.newbyteorder("="), copy=False), rate_hz)


def _number(header: dict[str, Any], name: str) -> float:
    value = header[name]
    if type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    raise MediaError(f"{name} is {shown(value)}: give a number within ±1.8e308")


def _count(header: dict[str, Any], name: str) -> int:
    value = header[name]
    if type(value) is int and 1 <= value <= 1_000_000:
        return value
    raise MediaError(f"{name} is {shown(value)}: give a whole number from 1 to 1000000")


def _no_constant(name: str) -> float:
    raise ValueError(name)
