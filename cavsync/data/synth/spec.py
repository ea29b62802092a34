"""The description of a procedural clip, which determines its frames and sound exactly and can be stored as JSON."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import Field, asdict, dataclass, fields
from fractions import Fraction
from typing import Any

import numpy as np

from cavsync.errors import ConfigError

# Flat drawings, and worlds in three dimensions.
FAMILIES = ("impacts", "drummer", "keys", "face")
WORLD_FAMILIES = ("balls", "tools", "plucked", "bowed", "animals", "machines", "walking", "screen", "voices")
# Names that stand for several families.
FAMILY_GROUPS = {"flat": FAMILIES, "worlds": WORLD_FAMILIES, "all": (*FAMILIES, *WORLD_FAMILIES)}
# Families whose people speak.
SPEAKING_FAMILIES = ("face", "voices")
SPEECH_SOURCES = ("synthetic", "espeak-ng")

# To be raised when equal descriptions no longer give equal frames and samples.
GENERATOR_VERSION = 1

# Scenes extend this far beyond the clip, so that shifted audio has no revealing gap at its ends.
MARGIN_SECONDS = 4.0
MAX_OFFSET_MS = 3000.0


@dataclass(frozen=True)
class Encoding:
    """A container with its codecs (FFmpeg encoder names) and what they support; an empty `fps` means any frame rate."""

    container: str
    video_codec: str
    audio_codec: str
    audio_rates_hz: tuple[int, ...]
    max_channels: int = 6
    fps: tuple[Fraction, ...] = ()


# Frame rates that an MPEG-1/2 sequence header can state (ISO/IEC 13818-2, table 6-4).
MPEG_FPS = tuple(Fraction(n, d) for n, d in [(24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60, 1)])
_COMMON_RATES_HZ = (16000, 22050, 24000, 32000, 44100, 48000)

ENCODINGS = (
    Encoding("mp4", "libx264", "aac", _COMMON_RATES_HZ),
    Encoding("webm", "libvpx", "libopus", (48000,)),
    Encoding("webm", "libvpx-vp9", "libopus", (48000,)),
    Encoding("mkv", "libx264", "flac", _COMMON_RATES_HZ),
    Encoding("mkv", "libx264", "pcm_s16le", _COMMON_RATES_HZ),
    Encoding("avi", "mpeg4", "libmp3lame", _COMMON_RATES_HZ, max_channels=2),
    Encoding("mpg", "mpeg1video", "mp2", (32000, 44100, 48000), max_channels=2, fps=MPEG_FPS),
    Encoding("mpg", "mpeg2video", "mp2", (32000, 44100, 48000), max_channels=2, fps=MPEG_FPS),
)
CONTAINERS = tuple(dict.fromkeys(encoding.container for encoding in ENCODINGS))


@dataclass(frozen=True)
class ClipSpec:
    """The complete description of one clip: equal specs give equal frames and samples.

    `audio_offset_ms` > 0 means that the audio is early (ITU-R BT.1359). It is the offset at video time 0 and changes by
    `drift_ms_per_minute` from there. `silent` leaves out every sound, `static` repeats the first frame. `clutter` in
    [0, 1] scales silent movers, camera shake and noise, and background sound. `speech` is the voice of the face family:
    "synthetic", or "espeak-ng", which needs that program.

    Raises ConfigError for values that cannot be rendered.
    """

    seed: int
    family: str
    duration_seconds: float = 6.0
    fps: Fraction = Fraction(25)
    width: int = 192
    height: int = 144
    container: str = "mp4"
    video_codec: str = "libx264"
    audio_codec: str = "aac"
    audio_rate_hz: int = 16000
    channels: int = 1
    audio_offset_ms: float = 0.0
    drift_ms_per_minute: float = 0.0
    silent: bool = False
    static: bool = False
    clutter: float = 1.0
    speech: str = "synthetic"

    def __post_init__(self) -> None:
        _check(self.seed >= 0, f"seed is {self.seed}", "an integer from 0 up")
        known = FAMILY_GROUPS["all"]
        _check(self.family in known, f"family is {self.family!r}", f"one of {', '.join(known)}")
        _check(0.5 <= self.duration_seconds <= 3600, f"duration is {self.duration_seconds} s", "0.5 to 3600 s")
        _check(1 <= self.fps <= 120, f"fps is {self.fps}", "1 to 120")
        even = self.width % 2 == 0 and self.height % 2 == 0
        _check(even and min(self.width, self.height) >= 64, f"size is {self.width}x{self.height}", "even, 64 or more")
        _check(16000 <= self.audio_rate_hz <= 48000, f"audio rate is {self.audio_rate_hz} Hz", "16000 to 48000 Hz")
        _check(self.channels in (1, 2, 6), f"channels is {self.channels}", "1, 2 or 6")
        _check(self.speech in SPEECH_SOURCES, f"speech is {self.speech!r}", f"one of {', '.join(SPEECH_SOURCES)}")
        _check(0 <= self.clutter <= 1, f"clutter is {self.clutter}", "0 to 1")
        worst_ms = max(abs(self.offset_ms_at(0.0)), abs(self.offset_ms_at(self.duration_seconds)))
        _check(worst_ms <= MAX_OFFSET_MS, f"offset reaches {worst_ms:.0f} ms", f"at most {MAX_OFFSET_MS:.0f} ms")

    def offset_ms_at(self, time_seconds: float) -> float:
        """Return the offset of the audio at video time `time_seconds`; > 0 means the audio is early."""
        return self.audio_offset_ms + self.drift_ms_per_minute * time_seconds / 60.0

    def random(self, purpose: str) -> np.random.Generator:
        """Return the random stream of one purpose; separate streams keep the other parts of a clip from changing."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    @property
    def frame_count(self) -> int:
        """Number of frames in the clip."""
        return max(1, round(self.duration_seconds * self.fps))

    @property
    def sample_count(self) -> int:
        """Number of audio samples per channel."""
        return round(self.duration_seconds * self.audio_rate_hz)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values; fps as "30000/1001"."""
        return asdict(self) | {"fps": str(self.fps)}

    def to_text(self) -> str:
        """Return the spec as one line, for example "balls@1 seed=7 width=224": family, version of the generator, and
        the fields that differ from their defaults."""
        given = self.to_json()
        fields = [f"{field.name}={given[field.name]}" for field in _text_fields() if getattr(self, field.name)
                  != field.default]  # fmt: skip
        return " ".join([f"{self.family}@{GENERATOR_VERSION}", *fields])

    @classmethod
    def from_text(cls, text: str) -> ClipSpec:
        """Return the spec of a line that `to_text` wrote. Raises ConfigError for any other text, and for a line of
        another version of the generator, which would give another clip."""
        head, *words = text.split()
        family, _, version = head.partition("@")
        if version != str(GENERATOR_VERSION):
            raise ConfigError(
                f"The clip {text!r} is not of version {GENERATOR_VERSION} of the generator, so that it would come out"
                f" differently: use the version of cavsync that wrote it, or write {family}@{GENERATOR_VERSION}."
            )
        readers = {
            field.name: _READERS[type(field.default) if field.name != "seed" else int] for field in _text_fields()
        }
        values: dict[str, Any] = {}
        for word in words:
            name, _, value = word.partition("=")
            try:
                values[name] = readers[name](value)
            except (KeyError, ValueError, ZeroDivisionError) as error:
                raise ConfigError(
                    f"The clip {text!r} has {word!r}, but NAME=VALUE with one of {', '.join(readers)} is expected:"
                    " copy the line from truth.jsonl."
                ) from error
        if "seed" not in values:
            raise ConfigError(f"The clip {text!r} has no seed: copy the line from truth.jsonl.")
        return cls(family=family, **values)


def _text_fields() -> list[Field[Any]]:
    return [field for field in fields(ClipSpec) if field.name != "family"]


_READERS: dict[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    Fraction: Fraction,
    bool: {"True": True, "False": False}.__getitem__,
}


def _check(holds: bool, wrong: str, expected: str) -> None:
    if not holds:
        raise ConfigError(f"The clip's {wrong}, but {expected} is expected: change the clip's settings.")
