"""Draw varied clip descriptions from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from cavsync.data.synth.espeak import espeak_available
from cavsync.data.synth.spec import (
    CONTAINERS,
    ENCODINGS,
    FAMILIES,
    FAMILY_GROUPS,
    MPEG_FPS,
    SPEAKING_FAMILIES,
    ClipSpec,
    Encoding,
)
from cavsync.errors import ConfigError

SIZES = ((192, 144), (224, 160), (256, 144), (256, 192), (160, 160), (144, 192))
FPS = (Fraction(25, 2), Fraction(15), *MPEG_FPS)
# Common rates are drawn more often; 12.5 and 15 fps are hard to score, 50 and 60 fps cost twice as much to decode.
_FPS_WEIGHTS = np.array([1, 1, 2, 2, 6, 3, 3, 1, 1]) / 20

_T = TypeVar("_T")


def draw_specs(
    count: int,
    seed: int,
    *,
    families: Sequence[str] | None = None,
    duration_seconds: float = 6.0,
    max_offset_ms: float = 0.0,
    drift_ms_per_minute: float = 0.0,
    silent_share: float = 0.0,
    static_share: float = 0.0,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    container: str = "mixed",
    plain: bool = False,
    clutter: float = 1.0,
    speech: str = "auto",
) -> list[ClipSpec]:
    """Draw `count` clip descriptions from `seed`, taking the families in turn; by default the flat ones (FAMILIES).
    `families` may name groups too: "flat", "worlds" or "all".

    Offsets are uniform in ±`max_offset_ms`, every clip drifts by `drift_ms_per_minute`; the shares are the exact
    fractions of silent and of static clips. `size` (width, height), `fps` and `container` fix what otherwise varies;
    `plain` fixes everything that the caller leaves open to 192x144, 25 fps, H.264 + AAC in mp4, 16 kHz mono. `speech`
    is "synthetic", "espeak-ng", or "auto", with which half of the speaking clips use espeak-ng if it is installed.

    Raises ConfigError for an unknown family or container, shares outside [0, 1], or values that ClipSpec refuses.
    """
    chosen = tuple(name for given in families or FAMILIES for name in FAMILY_GROUPS.get(given, (given,)))
    _check_choice(chosen, FAMILY_GROUPS["all"], "family")
    _check_choice((container,), ("mixed", *CONTAINERS), "container")
    if min(silent_share, static_share) < 0 or silent_share + static_share > 1:
        raise ConfigError(
            f"The shares of silent ({silent_share}) and static ({static_share}) clips must lie in [0, 1] and add up to"
            " at most 1: lower one of them."
        )
    if plain:
        size, fps = size or (192, 144), Fraction(25) if fps is None else fps
        container = "mp4" if container == "mixed" else container
    # The first clips of a random order are silent, the next ones static.
    rank = np.random.default_rng([seed, 0x5EC]).permutation(count)
    silent_count, static_count = round(silent_share * count), round(static_share * count)
    specs = []
    for index in range(count):
        # One random stream per clip, so that a clip stays the same when the list grows.
        rng = np.random.default_rng([seed, 0xC11B, index])
        family = chosen[index % len(chosen)]
        clip_seed, speaks = int(rng.integers(2**31)), bool(rng.integers(2))
        offset_ms = round(float(rng.uniform(-1, 1)) * max_offset_ms, 3)
        media_format = _draw_format(rng, size, fps, container, plain)
        specs.append(
            ClipSpec(
                seed=clip_seed,
                family=family,
                duration_seconds=duration_seconds,
                audio_offset_ms=offset_ms,
                drift_ms_per_minute=drift_ms_per_minute,
                silent=bool(rank[index] < silent_count),
                static=bool(silent_count <= rank[index] < silent_count + static_count),
                clutter=clutter,
                speech=_voice(speech, family, speaks),
                **media_format,
            )
        )
    return specs


def _draw_format(
    rng: np.random.Generator, size: tuple[int, int] | None, fps: Fraction | None, container: str, plain: bool
) -> dict[str, Any]:
    """Draw size, frame rate, codecs, audio rate and channels; fixed ones are drawn too, so that the others stay."""
    width, height = _pick(rng, SIZES)
    encoding, drawn_fps = _draw_encoding(rng, container, fps)
    rate_hz = _pick(rng, encoding.audio_rates_hz)
    channels = min(int(rng.choice((1, 2, 6), p=(0.4, 0.5, 0.1))), encoding.max_channels)
    return {
        "width": size[0] if size else width,
        "height": size[1] if size else height,
        "fps": drawn_fps,
        "container": encoding.container,
        "video_codec": encoding.video_codec,
        "audio_codec": encoding.audio_codec,
        "audio_rate_hz": min(encoding.audio_rates_hz) if plain else rate_hz,
        "channels": 1 if plain else channels,
    }


def _draw_encoding(rng: np.random.Generator, container: str, fps: Fraction | None) -> tuple[Encoding, Fraction]:
    """Draw a container with codecs, half of them mp4 because most files are, and a frame rate that the codec
    supports."""
    name = container
    if container == "mixed":
        fits = [e.container for e in ENCODINGS if fps is None or not e.fps or fps in e.fps]
        others = [c for c in dict.fromkeys(fits) if c != "mp4"]
        name = "mp4" if rng.random() < 0.5 else _pick(rng, others)
    encoding = _pick(rng, [e for e in ENCODINGS if e.container == name])
    drawn = FPS[int(rng.choice(len(FPS), p=_FPS_WEIGHTS))]
    if encoding.fps and fps is None and drawn not in encoding.fps:
        drawn = Fraction(25)
    if encoding.fps and fps is not None and fps not in encoding.fps:
        raise ConfigError(
            f"{encoding.container} with {encoding.video_codec} cannot carry {fps} fps, but one of"
            f" {', '.join(map(str, encoding.fps))} is expected: choose another container or frame rate."
        )
    return encoding, drawn if fps is None else fps


def _pick(rng: np.random.Generator, choices: Sequence[_T]) -> _T:
    return choices[int(rng.integers(len(choices)))]


def _check_choice(values: Sequence[str], allowed: Sequence[str], what: str) -> None:
    unknown = [value for value in values if value not in allowed]
    if unknown:
        raise ConfigError(f"Unknown {what} {unknown[0]!r}: choose from {', '.join(allowed)}.")


def _voice(speech: str, family: str, speaks: bool) -> str:
    if family not in SPEAKING_FAMILIES:
        return "synthetic"
    if speech != "auto":
        return speech
    return "espeak-ng" if speaks and espeak_available() else "synthetic"
