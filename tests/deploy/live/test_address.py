"""Addresses: what each means, what is refused, and that no secret is ever shown."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.deploy.live.address import parse_address
from cavsync.errors import ConfigError
from cavsync.file_names import redact


@pytest.mark.parametrize(
    ("text", "kind", "policy", "is_live"),
    [
        ("clip.mp4", "file", "block", False),
        ("file:///tmp/a b.mp4", "file", "block", False),
        ("C:\\clips\\a.mp4", "file", "block", False),
        ("-", "pipe", "block", False),
        ("rtsp://camera/1", "rtsp", "drop_oldest", True),
        ("RTSPS://camera/1", "rtsp", "drop_oldest", True),
        ("srt://10.0.0.1:9000?mode=caller", "srt", "drop_oldest", True),
        ("srt://:9000?mode=listener", "srt", "drop_oldest", True),
        ("udp://239.0.0.1:1234", "udp", "drop_oldest", True),
        ("udp://@:1234", "udp", "drop_oldest", True),
        ("https://host/live.m3u8?token=1", "hls", "block", True),
        ("http://host/live.ts", "http", "block", True),
    ],
)
def test_kinds(text: str, kind: str, policy: str, is_live: bool) -> None:
    address = parse_address(text)
    assert (address.kind, address.policy, address.is_live) == (kind, policy, is_live)
    assert (address.read_seconds is not None) == is_live, "a dead sender is noticed, a slow pipe is waited for"


def test_capture_devices() -> None:
    address = parse_address("v4l2:///dev/video0?audio=alsa:hw:1,0&framerate=25")
    video, audio = address.inputs
    assert (video.url, video.format, video.options["framerate"]) == ("/dev/video0", "v4l2", "25")
    assert (audio.url, audio.format) == ("hw:1,0", "alsa")
    assert "framerate" not in audio.options
    (both,) = parse_address("dshow://video=Camera:audio=Microphone").inputs
    assert (both.url, both.format) == ("video=Camera:audio=Microphone", "dshow")


def test_options_of_the_user_win() -> None:
    assert parse_address("rtsp://camera/1").inputs[0].options["rtsp_transport"] == "tcp"
    assert parse_address("rtsp://camera/1", {"rtsp_transport": "udp"}).inputs[0].options["rtsp_transport"] == "udp"


@pytest.mark.parametrize(
    "text",
    [
        "rtmp://host/app",
        "rtsp://",
        "rtsp:///path",
        "udp://host:99999",
        "http://[::1",
        "v4l2://",
        "v4l2:///dev/video0?audio=default",
        "v4l2:///dev/video0?audio=pulse:x",
    ],
)
def test_what_cannot_be_watched_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r": give "):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:secret@host/1", "rtsp://user:***@host/1"),
        ("rtsp://user:se@cret@host/1", "rtsp://user:***@host/1"),
        ("srt://h:1?passphrase=secret&mode=caller", "srt://h:1?passphrase=***&mode=caller"),
        ("https://h/a.m3u8?Access_Token=secret#x", "https://h/a.m3u8?Access_Token=***#x"),
        ("rtsp://:secret@host/1 or http://h/?key=secret (lost)", "rtsp://:***@host/1 or http://h/?key=*** (lost)"),
        ("http://host:8080/path@2x", "http://host:8080/path@2x"),
        ("udp://127.0.0.1:1234?fifo_size=5", "udp://127.0.0.1:1234?fifo_size=5"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


WORD = st.text(alphabet=string.ascii_letters + string.digits + "!$*+.~-_%", min_size=1, max_size=12)


@given(user=WORD, secret=WORD, name=st.sampled_from(["password", "passphrase", "token", "api_key", "sig", "X-Secret"]))
def test_no_secret_is_shown(user: str, secret: str, name: str) -> None:
    # So marked it cannot be found in the rest by chance.
    marked = f"Q7Q{secret}Q8Q"
    text = f"cannot open rtsp://{user}:{marked}@host:554/a?b=1&{name}={marked} (refused)"
    assert marked not in redact(text)
    assert f"rtsp://{user}:***@host:554/a?b=1&{name}=***" in redact(text)
    assert redact(redact(text)) == redact(text)
    address = parse_address(f"rtsp://{user}:{marked}@host:554/a?b=1&{name}={marked}")
    assert marked not in address.shown
    assert marked in address.inputs[0].url
