"""Which voices the people of generated clips have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cavsync.data.synth.espeak import ESPEAK, espeak_available
from cavsync.data.synth.spec import SPEAKING_FAMILIES


def count_voices(truth: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return in how many of the clips in which people are heard espeak-ng speaks, and in how many the formant
    synthesiser ("synthetic"), from their truth records."""
    heard = [record for record in truth if record["family"] in SPEAKING_FAMILIES and not record.get("silent")]
    spoken = sum(bool(record.get("espeak")) for record in heard)
    return {ESPEAK: spoken, "synthetic": len(heard) - spoken}


def voices_sentence(voices: Mapping[str, int], *, hints: bool = False) -> str:
    """Say which voices clips have; empty where nobody is heard.

    hints: add that espeak-ng is not installed, where it is not and would have spoken.
    """
    spoken, total = voices[ESPEAK], sum(voices.values())
    if not total:
        return ""
    text = f"{ESPEAK} speaks in {spoken} of {total} clips with voices, a formant synthesiser in {total - spoken}"
    if hints and not spoken and not espeak_available():
        return f"{text}: {ESPEAK} is not installed, and would speak in half of them"
    return text
