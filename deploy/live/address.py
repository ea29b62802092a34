"""Parsing of a source's address into the inputs that FFmpeg opens, with options that suit the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cavsync.errors import ConfigError
from cavsync.file_names import legible, redact

BLOCK = "block"
DROP_OLDEST = "drop_oldest"
POLICIES = (BLOCK, DROP_OLDEST)
"""What a full queue does: make the source wait, or drop the oldest packets."""
STDIN = "-"
CAPTURE_FORMATS = ("v4l2", "alsa", "avfoundation", "dshow", "lavfi")
NETWORK_SCHEMES = ("rtsp", "rtsps", "srt", "udp", "http", "https")

# A transport stream repeats its tables several times a second, so two seconds of probing find every track.
PROBE = {"analyzeduration": "2000000", "probesize": "2000000"}
# Room for a burst that arrives while a frame is decoded, in the kernel (bytes) and in FFmpeg (188-byte packets).
UDP_OPTIONS = {**PROBE, "buffer_size": "4194304", "fifo_size": "57344", "overrun_nonfatal": "1"}
# TCP carries both tracks over one connection without loss or reordering; the user's options override it.
RTSP_OPTIONS = {**PROBE, "rtsp_transport": "tcp", "allowed_media_types": "video+audio", "max_delay": "500000"}
# Start at the newest segment, the live edge. A remote playlist must not name local files.
HLS_OPTIONS = {"live_start_index": "-1", "protocol_whitelist": "http,https,tcp,tls,crypto,data"}
# Wall-clock timestamps, so that those of camera and microphone are comparable.
CAPTURE_OPTIONS: dict[str, dict[str, str]] = {"v4l2": {"timestamps": "abs"}}


@dataclass(frozen=True)
class Input:
    """One container to open: FFmpeg's `url`, the format's name (None: FFmpeg detects it), and FFmpeg's options."""

    url: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """A source to watch.

    `kind` is file, pipe, capture, hls, http, rtsp, srt or udp; `shown` is the address with its secrets masked; `inputs`
    is one container, or two for a camera and a separate microphone. `open_seconds` and `read_seconds` are the time-outs
    (None: no limit); `policy` is the default policy of a full queue.
    """

    kind: str
    shown: str
    inputs: tuple[Input, ...]
    open_seconds: float | None
    read_seconds: float | None
    policy: str

    @property
    def is_live(self) -> bool:
        """Whether the source keeps playing when nobody reads it, so that reconnecting after the end makes sense."""
        return self.kind not in ("file", "pipe")


def parse_address(text: str, options: Mapping[str, str] | None = None) -> Address:
    """Parse a path, `-` (stdin), or an address; `options` are FFmpeg's and override the protocol's defaults here.

    Capture devices are given as `FORMAT://DEVICE?audio=FORMAT:DEVICE&option=value`: `v4l2:///dev/video0?audio=alsa:default`,
    `avfoundation://0:1`, `dshow://video=Camera:audio=Microphone`.

    Raises:
        ConfigError: the address has an unknown scheme, or lacks a host or device.
    """
    given = dict(options or {})
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if text == STDIN:
        return Address("pipe", STDIN, (Input("pipe:0", None, given),), None, None, BLOCK)
    if not separator or scheme == "file":
        path = rest if separator else text
        return Address("file", legible(text), (Input(str(Path(path)), None, given),), None, None, BLOCK)
    if scheme in CAPTURE_FORMATS:
        return _capture(scheme, text, rest, given)
    if scheme not in NETWORK_SCHEMES:
        known = ", ".join(f"{name}://" for name in (*NETWORK_SCHEMES, *CAPTURE_FORMATS))
        raise ConfigError(f"{redact(text)} has an unknown scheme: give a file, - for stdin, or one of {known}")
    return _network(scheme, text, given)


def _network(scheme: str, text: str, given: dict[str, str]) -> Address:
    shown = redact(text)
    try:
        parts = urlsplit(text)
        port = parts.port
        has_target = bool(parts.hostname) or (scheme in ("srt", "udp") and port is not None)
    except ValueError:
        has_target = False
    if not has_target:
        raise ConfigError(f"{shown} has no host or an invalid port: give {scheme}://HOST:PORT/...")
    if scheme == "udp":
        return Address("udp", shown, (Input(text, "mpegts", UDP_OPTIONS | given),), 5.0, 5.0, DROP_OLDEST)
    if scheme == "srt":
        return Address("srt", shown, (Input(text, "mpegts", PROBE | given),), 10.0, 5.0, DROP_OLDEST)
    if scheme in ("rtsp", "rtsps"):
        return Address("rtsp", shown, (Input(text, "rtsp", RTSP_OPTIONS | given),), 10.0, 5.0, DROP_OLDEST)
    if parts.path.lower().endswith(".m3u8"):
        # Segments arrive in bursts and stay on the server until read, so a full queue may block.
        return Address("hls", shown, (Input(text, "hls", HLS_OPTIONS | given),), 15.0, 15.0, BLOCK)
    return Address("http", shown, (Input(text, None, given),), 10.0, 10.0, BLOCK)


def _capture(scheme: str, text: str, rest: str, given: dict[str, str]) -> Address:
    device, _, query = rest.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    audio = settings.pop("audio", "")
    audio_format, separator, audio_device = audio.partition(":")
    if not device or (audio and (audio_format not in CAPTURE_FORMATS or not separator or not audio_device)):
        raise ConfigError(
            f"{text} is not a capture device: give FORMAT://DEVICE?audio=FORMAT:DEVICE with formats from "
            f"{', '.join(CAPTURE_FORMATS)}, as in v4l2:///dev/video0?audio=alsa:default"
        )
    inputs = [Input(device, scheme, CAPTURE_OPTIONS.get(scheme, {}) | settings | given)]
    if audio:
        inputs.append(Input(audio_device, audio_format, dict(given)))
    return Address("capture", redact(text), tuple(inputs), 10.0, 5.0, DROP_OLDEST)
