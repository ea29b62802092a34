"""Removal of a constant offset: choice of the offset, and the corrected copy of the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

from cavsync.deploy.repair.losses import losses
from cavsync.deploy.repair.new_file import check_place, new_file
from cavsync.deploy.repair.output_streams import ISO_ENDINGS
from cavsync.deploy.repair.remux import MAX_OFFSET_MS, Progress, remux
from cavsync.deploy.repair.stretch import Drift, drift_of
from cavsync.deploy.repair.trace import Trace, check_chapters, compare, trace_file
from cavsync.deploy.verdict.records import IN_SYNC, SyncScore
from cavsync.errors import CavsyncError, ConfigError, MediaError

T = TypeVar("T")
# Shorter hidden starts are not noted: an audio codec's priming is shorter than this, and silent.
MIN_NOTED_SECONDS = 0.1
# A change over the whole file below this is within a frame, and may come from the measurement.
DRIFT_LIMIT_MS = 30.0
STRETCH_REMEDY = "give --stretch to resample its audio, which re-encodes that track"


@dataclass(frozen=True)
class Fixed(Generic[T]):
    """A finished copy whose packet times were compared with the input's.

    `checked` is the result of the caller's check; `notes` are sentences about what `output` cannot keep.
    """

    output: Path
    removed_ms: float
    checked: T | None
    notes: list[str]


def offset_to_remove(
    source: Path | str, score: SyncScore, *, drift_ms_per_minute: float | None = None, force: bool = False
) -> float | None:
    """Return the measured offset to remove, in ms (> 0: the audio is early); None where the file is in sync.

    Args:
        source: the file's name, for error messages.
        score: the verdict on the whole file.
        drift_ms_per_minute: how the offset changes over the file; None where that is not known.
        force: use the best match even if it is not trusted, and remove even an offset that counts as in sync.

    Raises:
        MediaError: the offset is not trusted, or not constant.
    """
    best_ms = score.audio_offset_ms
    drift_ms = abs(drift_ms_per_minute or 0.0) * score.window_seconds / 60
    if score.is_varying:
        remedy = "repair its parts separately"
        if drift_ms >= DRIFT_LIMIT_MS:
            remedy = f"{STRETCH_REMEDY}, or {remedy}"
        raise MediaError(f"{source} cannot be repaired by one delay ({score.reason}): {remedy}")
    if drift_ms >= DRIFT_LIMIT_MS and not force:
        raise MediaError(
            f"the offset of {source} drifts by {drift_ms_per_minute:+.0f} ms per minute, {drift_ms:.0f} ms in all, "
            f"which one delay does not take out: {STRETCH_REMEDY}, or --force to remove its mean alone"
        )
    if score.suggested_audio_delay_ms is None:
        if force and best_ms is not None:
            return best_ms
        reason = score.reason or "the offset is not certain enough"
        remedy = "give --offset-ms" if best_ms is None else f"give --offset-ms, or --force to remove {best_ms:+.0f} ms"
        raise MediaError(f"{source} has no offset that can be trusted ({reason}): {remedy}")
    if score.state == IN_SYNC and not force:
        return None
    return score.suggested_audio_delay_ms


def drift_to_remove(source: Path | str, records: Sequence[SyncScore], summary_ms_per_minute: float | None) -> Drift:
    """Return the measured drift to take out, with the offset at the start.

    Raises:
        MediaError: no drift is measured, or less than a constant delay leaves.
    """
    seconds = max((record.time_seconds for record in records), default=0.0)
    if summary_ms_per_minute is None or abs(summary_ms_per_minute) * seconds / 60 < DRIFT_LIMIT_MS:
        raise MediaError(
            f"{source} has no measurable drift (it takes half a minute of trusted offsets, and a change by "
            f"{DRIFT_LIMIT_MS:.0f} ms): leave out --stretch"
        )
    return drift_of(records, summary_ms_per_minute)


def check_stretched(source: Path | str, score: SyncScore, ms_per_minute: float | None) -> None:
    """Raise MediaError if a stretched copy still drifts or varies: its input has jumps rather than a steady drift."""
    if score.is_varying or abs(ms_per_minute or 0.0) * score.window_seconds / 60 >= DRIFT_LIMIT_MS:
        raise MediaError(
            f"{source} would still be out of sync in parts ({score.reason or 'it drifts'}), so its offset does not "
            "change steadily: no file was written, repair its parts separately"
        )


def fix_file(
    source: Path,
    output: Path,
    offset_ms: float,
    *,
    audio_streams: Collection[int] | None = None,
    leave_out: Collection[int] = (),
    program: int | None = None,
    stretch: Fraction | None = None,
    overwrite: bool = False,
    check: Callable[[Path], T] | None = None,
    on_progress: Progress | None = None,
) -> Fixed[T]:
    """Copy `source` to `output` without the offset `offset_ms` (> 0: the audio is early, so it is delayed).

    No packet is re-encoded, except those of a stretched stream. The copy appears under its name only after its packet
    times were compared with the input's; if anything fails or interrupts before that, no file is left.

    Args:
        audio_streams: numbers of the audio streams to move, from 0 on; None moves all of them.
        leave_out: indices, among all streams, of those that are not copied.
        program: number of the programme that the copy becomes; needed only where several have the same streams.
        stretch: by how much longer the audio streams that move become; they are re-encoded.
        overwrite: replace an existing `output`.
        check: called with the finished copy before it gets its name; may raise to discard it.
        on_progress: called with the seconds copied and the seconds declared (None where none are declared).

    Raises:
        ConfigError: the offset is zero, not finite or too large, or `output` cannot be written.
        MediaError: `source` is unusable, or the container of `output` cannot hold it.
    """
    if not math.isfinite(offset_ms) or (offset_ms == 0 and stretch is None) or abs(offset_ms) > MAX_OFFSET_MS:
        raise ConfigError(f"the offset is {offset_ms:g} ms: give one other than 0, of at most an hour")
    if not source.is_file():
        raise MediaError(f"{source} is not a file: give the path of a video file", reason="missing")
    check_place(source, output, overwrite=overwrite)
    with new_file(output, overwrite=overwrite) as temporary:
        try:
            traces, notes = remux(
                source,
                temporary,
                audio_delay_ms=offset_ms,
                audio_streams=audio_streams,
                leave_out=leave_out,
                program=program,
                stretch=stretch,
                on_progress=on_progress,
            )
            compare(traces, trace_file(temporary), output)
            check_chapters(source, temporary, output)
            notes += losses(source, temporary, output, leave_out)
            checked = None if check is None else check(temporary)
        except ConfigError:
            raise
        except CavsyncError as error:
            # Messages name the output rather than the temporary file.
            message = str(error).replace(str(temporary), str(output)).replace(temporary.name, output.name)
            raise MediaError(message, reason=getattr(error, "reason", "invalid")) from None
    return Fixed(output, offset_ms, checked, [*notes, *_hidden_notes(traces, source, output)])


def _hidden_notes(traces: list[Trace], source: Path, output: Path) -> list[str]:
    """Return a sentence per stream whose hidden start the output shows, due to the delay or for lack of edit lists."""
    notes = []
    for trace in traces:
        shown_seconds = trace.hidden_seconds
        if output.suffix.lower() in ISO_ENDINGS and trace.start_seconds is not None:
            shown_seconds -= max(Fraction(0), -(trace.start_seconds + trace.delay_seconds))
        if shown_seconds > MIN_NOTED_SECONDS:
            notes.append(
                f"{output.name} shows {1000 * float(shown_seconds):.0f} ms of {trace.kind} that {source.name} hides at "
                "its start"
            )
    return notes
