"""The verdict in words, for the terminal and the report."""

from __future__ import annotations

from cavsync.deploy.verdict.events import STREAM_ENDED, EventChange
from cavsync.deploy.verdict.records import AUDIO_EARLY, AUDIO_LATE, IN_SYNC, UNDETERMINED, SyncScore

STATE_WORDS = {
    IN_SYNC: "in sync",
    AUDIO_EARLY: "audio early",
    AUDIO_LATE: "audio late",
    UNDETERMINED: "undetermined",
}


def headline(score: SyncScore) -> str:
    """Return the verdict in a few words: `Audio late by 120 ms`, or `Mostly audio late` if the offset varies."""
    if score.is_varying:
        return "Offset varies" if score.state == UNDETERMINED else f"Mostly {STATE_WORDS[score.state]}"
    if score.state == UNDETERMINED or score.audio_offset_ms is None:
        return "Undetermined"
    if score.state == IN_SYNC:
        return "In sync"
    return f"{STATE_WORDS[score.state].capitalize()} by {abs(score.audio_offset_ms):.0f} ms"


def event_words(change: EventChange) -> str:
    """Return the beginning or end of an event in a few words: `audio late ended, -120 ms at most`."""
    end = "open when the stream ended" if change.cause == STREAM_ENDED else change.phase
    return f"{STATE_WORDS[change.state]} {end}, {change.extreme_ms:+.0f} ms at most"


def is_trusted(score: SyncScore) -> bool:
    """Whether the offset, if there is one, is more than a best match; texts put others in brackets."""
    return score.audio_offset_ms is None or score.is_measured or score.is_varying


def explanation(score: SyncScore) -> str:
    """Return sentences on what the offset means, how to repair it, and the reason for the state."""
    sentences = []
    if score.is_measured and score.audio_offset_ms is not None:
        sentences.append(_offset_sentence(score.audio_offset_ms, score.offset_resolution_ms))
    if score.state in (AUDIO_EARLY, AUDIO_LATE) and score.suggested_audio_delay_ms is not None:
        delay_ms = score.suggested_audio_delay_ms
        verb = "delay" if delay_ms > 0 else "advance"
        sentences.append(f"To repair it, {verb} the audio by {abs(delay_ms):.0f} ms.")
    if score.reason is not None:
        sentences.append(score.reason[0].upper() + score.reason[1:] + ".")
    return " ".join(sentences)


def _offset_sentence(offset_ms: float, resolution_ms: float | None) -> str:
    accuracy = "" if resolution_ms is None else f" (half of such offsets are within {resolution_ms:.0f} ms)"
    if round(offset_ms) == 0:
        return f"Audio and video coincide{accuracy}."
    return f"The audio comes {abs(offset_ms):.0f} ms {'before' if offset_ms > 0 else 'after'} the video{accuracy}."
