"""What may be watched: one address -> what FFmpeg is to open, with options that suit its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cavsync.deploy.live.redact import redact
from cavsync.errors import ConfigError

BLOCK = "block"
DROP_OLDEST = "drop_oldest"
POLICIES = (BLOCK, DROP_OLDEST)
STDIN = "-"
CAPTURE_FORMATS = ("v4l2", "alsa", "avfoundation", "dshow", "lavfi")
NETWORK_SCHEMES = ("rtsp", "rtsps", "srt", "udp", "http", "https")

# A transport stream repeats its tables several times a second; two seconds find both tracks, or there are not two.
PROBE = {"analyzeduration": "2000000", "probesize": "2000000"}
# A burst may come while a frame is decoded: what the kernel and FFmpeg hold must not overflow meanwhile.
UDP_OPTIONS = {**PROBE, "buffer_size": "4194304", "fifo_size": "57344", "overrun_nonfatal": "1"}
# Audio and video over one connection: nothing is lost or reordered on the way. `--option` may choose otherwise.
RTSP_OPTIONS = {**PROBE, "rtsp_transport": "tcp", "allowed_media_types": "video+audio", "max_delay": "500000"}
# The newest segment is the live edge; a playlist from elsewhere must not name files of this machine.
HLS_OPTIONS = {"live_start_index": "-1", "protocol_whitelist": "http,https,tcp,tls,crypto,data"}
# Both devices on the clock of the day, else their times mean nothing to each other.
CAPTURE_OPTIONS: dict[str, dict[str, str]] = {"v4l2": {"timestamps": "abs"}}


@dataclass(frozen=True)
class Input:
    """One container to open: `url` as FFmpeg takes it, the name of its format if it must be told, and its options."""

    url: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """A source that may be watched.

    `kind` is file, pipe, capture, hls, http, rtsp, srt or udp; `shown` the address without its secrets; `inputs` one
    container, or one each for video and audio of capture devices. `open_seconds` and `read_seconds` are how long to
    wait for the sender (None: for ever); `policy` is what a full queue does unless told otherwise.
    """

    kind: str
    shown: str
    inputs: tuple[Input, ...]
    open_seconds: float | None
    read_seconds: float | None
    policy: str

    @property
    def is_live(self) -> bool:
        """Whether it goes on by itself, so that a connection that ended is worth another."""
        return self.kind not in ("file", "pipe")


def parse_address(text: str, options: Mapping[str, str] | None = None) -> Address:
    """Read a path, `-`, or an address; `options` are FFmpeg's and win over those that the protocol is given here.

    Capture devices are `FORMAT://DEVICE?audio=FORMAT:DEVICE&option=value`: `v4l2:///dev/video0?audio=alsa:default`,
    `avfoundation://0:1`, `dshow://video=Camera:audio=Microphone`.

    Raises:
        ConfigError: an address of a kind that is not known, or without a host or device.
    """
    given = dict(options or {})
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if text == STDIN:
        return Address("pipe", STDIN, (Input("pipe:0", None, given),), None, None, BLOCK)
    if not separator or scheme == "file":
        path = rest if separator else text
        return Address("file", text, (Input(str(Path(path)), None, given),), None, None, BLOCK)
    if scheme in CAPTURE_FORMATS:
        return _capture(scheme, text, rest, given)
    if scheme not in NETWORK_SCHEMES:
        known = ", ".join(f"{name}://" for name in (*NETWORK_SCHEMES, *CAPTURE_FORMATS))
        raise ConfigError(f"{redact(text)} is of no kind that can be watched: give a file, - or one of {known}")
    return _network(scheme, text, given)


def _network(scheme: str, text: str, given: dict[str, str]) -> Address:
    shown = redact(text)
    try:
        parts = urlsplit(text)
        port = parts.port
        has_place = bool(parts.hostname) or (scheme in ("srt", "udp") and port is not None)
    except ValueError:
        has_place = False
    if not has_place:
        raise ConfigError(f"{shown} names no host, or a port that is none: give {scheme}://HOST:PORT/...")
    if scheme == "udp":
        return Address("udp", shown, (Input(text, "mpegts", UDP_OPTIONS | given),), 5.0, 5.0, DROP_OLDEST)
    if scheme == "srt":
        return Address("srt", shown, (Input(text, "mpegts", PROBE | given),), 10.0, 5.0, DROP_OLDEST)
    if scheme in ("rtsp", "rtsps"):
        return Address("rtsp", shown, (Input(text, "rtsp", RTSP_OPTIONS | given),), 10.0, 5.0, DROP_OLDEST)
    if parts.path.lower().endswith(".m3u8"):
        # Segments lie on the server and come in bursts: a full queue makes them wait there.
        return Address("hls", shown, (Input(text, "hls", HLS_OPTIONS | given),), 15.0, 15.0, BLOCK)
    return Address("http", shown, (Input(text, None, given),), 10.0, 10.0, BLOCK)


def _capture(scheme: str, text: str, rest: str, given: dict[str, str]) -> Address:
    device, _, query = rest.partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    audio = settings.pop("audio", "")
    audio_format, separator, audio_device = audio.partition(":")
    if not device or (audio and (audio_format not in CAPTURE_FORMATS or not separator or not audio_device)):
        raise ConfigError(
            f"{text} is no capture device: give FORMAT://DEVICE?audio=FORMAT:DEVICE with formats of "
            f"{', '.join(CAPTURE_FORMATS)}, as in v4l2:///dev/video0?audio=alsa:default"
        )
    inputs = [Input(device, scheme, CAPTURE_OPTIONS.get(scheme, {}) | settings | given)]
    if audio:
        inputs.append(Input(audio_device, audio_format, dict(given)))
    return Address("capture", redact(text), tuple(inputs), 10.0, 5.0, DROP_OLDEST)
