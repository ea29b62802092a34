"""Chunks of a WebSocket: what is valid arrives to the bit, everything else is one sentence."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_sender import audio_chunk, frame_chunk
from PIL import Image

from cavsync.deploy.server.chunks import MAX_HEADER_BYTES, PushedAudio, PushedFrame, parse_chunk
from cavsync.errors import MediaError


def chunk(content: bytes = b"", **header: Any) -> bytes:
    return json.dumps(header).encode() + b"\n" + content


VIDEO = {"type": "video", "pts_seconds": 1.0, "format": "rgb24", "width": 2, "height": 1}
AUDIO = {"type": "audio", "pts_seconds": 1.0, "format": "f32le", "sample_rate_hz": 16000, "channels": 2}


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(-1e9, 1e9), st.integers(0, 2**32 - 1))
def test_raw_frames_arrive_to_the_bit(height: int, width: int, pts_seconds: float, seed: int) -> None:
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = parse_chunk(frame_chunk(pts_seconds, rgb))
    assert isinstance(found, PushedFrame)
    assert found.pts_seconds == pts_seconds
    np.testing.assert_array_equal(found.rgb, rgb)


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 8), st.sampled_from([np.float32, np.int16]), st.integers(0, 2**32 - 1))
def test_audio_arrives_to_the_bit(count: int, channels: int, kind: Any, seed: int) -> None:
    samples = (np.random.default_rng(seed).normal(0, 1000, (count, channels))).astype(kind)
    found = parse_chunk(audio_chunk(-3.5, samples, 44_100))
    assert isinstance(found, PushedAudio)
    assert (found.pts_seconds, found.sample_rate_hz, found.samples.dtype) == (-3.5, 44_100, kind)
    np.testing.assert_array_equal(found.samples, samples)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_are_decoded(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (32, 16), {"RGB": (200, 30, 90), "L": 77, "CMYK": (0, 0, 0, 0)}[mode]).save(out, "JPEG", quality=95)
    found = parse_chunk(chunk(out.getvalue(), type="video", pts_seconds=0, format="jpeg"))
    assert isinstance(found, PushedFrame)
    assert found.rgb.shape == (16, 32, 3)
    wanted = {"RGB": (200, 30, 90), "L": (77, 77, 77), "CMYK": (255, 255, 255)}[mode]
    assert np.abs(found.rgb.astype(int) - wanted).max() <= 3


def jpeg(width: int = 32, height: int = 16) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 50).convert("RGB").save(out, "JPEG")
    return out.getvalue()


def huge_jpeg() -> bytes:
    """A small JPEG that claims to be 30,000 pixels wide and high."""
    data = bytearray(jpeg())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = 2 * (30_000).to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "no line of JSON"),
        (b"{}", "no line of JSON"),
        (b"{}\n", "send one of video rgb24"),
        (b"[]\n", "not a JSON object"),
        (b'{"type": "video"\n', "is not JSON"),
        (b"\xff\xfe\n", "is not JSON"),
        (b" " * (MAX_HEADER_BYTES + 1) + b"\n", "no line of JSON"),
        (b"[" * 1000 + b"\n", "is not JSON"),
        (chunk(b"123456", **VIDEO | {"pts_seconds": float("nan")}), "is not JSON"),
        (chunk(b"123456", **VIDEO | {"pts_seconds": 10**400}), "pts_seconds"),
        (b'{"type": "video", "pts_seconds": 1e999, "format": "rgb24", "width": 2, "height": 1}\n123456', "pts_seconds"),
        (chunk(b"123456", **VIDEO | {"pts_seconds": "1"}), "pts_seconds"),
        (chunk(b"123456", **VIDEO | {"pts_seconds": True}), "pts_seconds"),
        (chunk(b"123456", **VIDEO | {"pts_seconds": None}), "pts_seconds"),
        (chunk(b"12345", **VIDEO), "send 6"),
        (chunk(b"1234567", **VIDEO), "send 6"),
        (chunk(b"", **VIDEO | {"width": 0}), "width"),
        (chunk(b"", **VIDEO | {"height": -1}), "height"),
        (chunk(b"", **VIDEO | {"width": 1e3}), "width"),
        (chunk(b"123456", **VIDEO | {"width": 10**9}), "width"),
        (chunk(b"123456", **VIDEO | {"stride": 6}), "fields"),
        (chunk(b"123456", **VIDEO | {"format": "yuv420p"}), "send one of"),
        (chunk(b"123456", **VIDEO | {"format": {}}), "send one of"),
        (chunk(b"123456", **VIDEO | {"type": ["video"]}), "send one of"),
        (chunk(b"1234567", **AUDIO), "whole samples"),
        (chunk(b"12345678", **AUDIO | {"channels": 65}), "65 channels"),
        (chunk(b"12345678", **AUDIO | {"channels": 0}), "channels"),
        (chunk(b"12345678", **AUDIO | {"sample_rate_hz": 44100.5}), "sample_rate_hz"),
        (chunk(b"\0" * 8 * 160_001, **AUDIO), "more than 10 s"),
        (chunk(huge_jpeg(), type="video", pts_seconds=0, format="jpeg"), "the frame has more than 35389440 pixels"),
        (chunk(b"no frame", type="video", pts_seconds=0, format="jpeg"), "not a complete JPEG"),
        (chunk(jpeg()[:-300], type="video", pts_seconds=0, format="jpeg"), "not a complete JPEG"),
    ],
)
def test_what_is_wrong_is_said(message: bytes, words: str) -> None:
    with pytest.raises(MediaError, match=words) as found:
        parse_chunk(message)
    assert len(str(found.value)) < 400


def test_other_image_formats_and_bombs_are_no_jpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    with pytest.raises(MediaError, match="not a complete JPEG"):
        parse_chunk(chunk(out.getvalue(), type="video", pts_seconds=0, format="jpeg"))
    monkeypatch.setattr("cavsync.deploy.server.chunks.MAX_FRAME_PIXELS", 32 * 16 - 1)
    with pytest.raises(MediaError, match="32 by 16"):
        parse_chunk(chunk(jpeg(), type="video", pts_seconds=0, format="jpeg"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from([VIDEO, AUDIO, {"type": "video", "pts_seconds": 0, "format": "jpeg"}]),
    changes=st.dictionaries(
        st.sampled_from([*VIDEO, *AUDIO, "other"]), JSON | st.sampled_from(["jpeg", "s16le", "rgb24"]), max_size=3
    ),
    content=st.binary(max_size=40),
)
def test_no_header_does_harm(base: dict[str, Any], changes: dict[str, Any], content: bytes) -> None:
    """Either a chunk of the declared shape or a sentence, never anything else."""
    try:
        found = parse_chunk(chunk(content, **base | changes))
    except MediaError:
        return
    assert np.isfinite(found.pts_seconds)
    assert found.rgb.ndim == 3 if isinstance(found, PushedFrame) else found.samples.ndim == 2


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_harm(message: bytes) -> None:
    with pytest.raises(MediaError):
        parse_chunk(message)
