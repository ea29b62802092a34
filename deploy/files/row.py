"""What tables and totals show of a file: a small record, which a batch keeps in memory for each of its files."""

from __future__ import annotations

from dataclasses import dataclass, field

from cavsync.deploy.files.score_file import AudioTrack, FileFailure, Outcome
from cavsync.deploy.verdict.records import rounded
from cavsync.deploy.verdict.words import headline, is_trusted

FAILED = "failed"


@dataclass(frozen=True)
class FileRow:
    """One file. `state` is one of `STATES`, or `failed` with the sentence `error`; then the rest is unset.

    `reason` says why the state is undetermined. `tracks` are the verdicts on all audio tracks in words, if asked for.
    `verdict` is the headline; `is_trusted` is False where the offset is only the best match. Numbers are rounded as in
    JSON.
    """

    source: str
    state: str
    error: str | None = None
    verdict: str = ""
    path: str = ""
    audio_offset_ms: float | None = None
    is_trusted: bool = False
    within_profile: bool | None = None
    confidence: float | None = None
    drift_ms_per_minute: float | None = None
    worst_offset_ms: float | None = None
    undetermined_share: float = 0.0
    num_windows: int = 0
    has_face: bool = False
    notes: list[str] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    tracks_within_profile: list[bool | None] = field(default_factory=list)
    reason: str | None = None


def row_of(outcome: Outcome) -> FileRow:
    """Return the row of a scored or failed file."""
    if isinstance(outcome, FileFailure):
        return FileRow(outcome.source, FAILED, outcome.error)
    summary = outcome.summary
    score = summary.score
    return FileRow(
        source=outcome.source,
        state=score.state,
        verdict=headline(score),
        path=score.path,
        audio_offset_ms=rounded("_ms", score.audio_offset_ms),
        is_trusted=is_trusted(score),
        within_profile=score.within_profile,
        confidence=rounded("confidence", score.confidence),
        drift_ms_per_minute=rounded("_ms_per_minute", summary.drift_ms_per_minute),
        worst_offset_ms=rounded("_ms", summary.worst_offset_ms),
        undetermined_share=rounded("_share", summary.undetermined_share),
        num_windows=summary.num_windows,
        has_face=outcome.face is not None,
        notes=summary.notes,
        tracks=[_sentence(track) for track in outcome.tracks],
        tracks_within_profile=[track.summary.score.within_profile for track in outcome.tracks],
        reason=score.reason,
    )


def _sentence(track: AudioTrack) -> str:
    """Return the verdict on an audio track in a line."""
    score = track.summary.score
    confidence = "" if score.confidence is None else f", confidence {score.confidence:.2f}"
    description = "; ".join([track.description, *track.notes])
    return f"audio track {track.number} ({description}): {headline(score)}{confidence}"
