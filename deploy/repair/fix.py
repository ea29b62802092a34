"""Remove a constant offset from a file: which offset that is, and the copy without it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Generic, TypeVar

from cavsync.deploy.repair.new_file import check_place, new_file
from cavsync.deploy.repair.output_streams import ISO_ENDINGS
from cavsync.deploy.repair.remux import MAX_OFFSET_MS, Progress, remux
from cavsync.deploy.repair.trace import Trace, compare, trace_file
from cavsync.deploy.verdict.records import IN_SYNC, SyncScore
from cavsync.errors import CavsyncError, ConfigError, MediaError

T = TypeVar("T")
# The priming of an audio codec is shorter and silent.
MIN_NOTED_SECONDS = 0.1


@dataclass(frozen=True)
class Fixed(Generic[T]):
    """A copy that was made and held against its input, packet by packet.

    `checked` is what the caller's own check returned; `notes` are sentences about what the container could not keep.
    """

    output: Path
    removed_ms: float
    checked: T | None
    notes: list[str]


def offset_to_remove(source: Path | str, score: SyncScore, *, force: bool = False) -> float | None:
    """The offset that a measurement says to remove, in ms (> 0: the audio is early); None where it is in sync.

    Args:
        source: name of the file, for the sentences.
        score: the verdict on the whole file.
        force: take the best match even if it is not trusted, and remove an offset that counts as in sync.

    Raises:
        MediaError: no offset can be trusted, or it is not constant.
    """
    best_ms = score.audio_offset_ms
    if score.is_varying:
        raise MediaError(f"{source} cannot be repaired by one delay ({score.reason}): repair its parts one by one")
    if score.suggested_audio_delay_ms is None:
        if force and best_ms is not None:
            return best_ms
        reason = score.reason or "the offset is not certain enough"
        way = "give --offset-ms" if best_ms is None else f"give --offset-ms, or --force to remove {best_ms:+.0f} ms"
        raise MediaError(f"{source} has no offset that can be trusted ({reason}): {way}")
    if score.state == IN_SYNC and not force:
        return None
    return score.suggested_audio_delay_ms


def fix_file(
    source: Path,
    output: Path,
    offset_ms: float,
    *,
    audio_stream: int | None = None,
    overwrite: bool = False,
    check: Callable[[Path], T] | None = None,
    on_progress: Progress | None = None,
) -> Fixed[T]:
    """Copy `source` to `output` without the offset `offset_ms` (> 0: the audio is early, so it is delayed).

    No packet is re-encoded. The copy is compared with its input by the times of all packets and takes its name only
    then; whatever ends the work before leaves nothing.

    Args:
        audio_stream: the one audio stream to move, counted from 0; None moves all of them.
        overwrite: replace an existing `output`.
        check: called with the finished copy before it takes its name; may raise to keep it from doing so.
        on_progress: called with the seconds copied and the seconds declared.

    Raises:
        ConfigError: the offset is no offset, or `output` may not be written.
        MediaError: `source` cannot be used, or the container of `output` cannot hold it.
    """
    if not math.isfinite(offset_ms) or offset_ms == 0 or abs(offset_ms) > MAX_OFFSET_MS:
        raise ConfigError(f"the offset is {offset_ms:g} ms: give one other than 0, of at most an hour")
    if not source.is_file():
        raise MediaError(f"{source} is no file: give the path of a video file", reason="missing")
    check_place(source, output, overwrite=overwrite)
    with new_file(output, overwrite=overwrite) as temporary:
        try:
            copied = remux(
                source, temporary, audio_delay_ms=offset_ms, audio_stream=audio_stream, on_progress=on_progress
            )
            compare(copied.traces, trace_file(temporary), output)
            checked = None if check is None else check(temporary)
        except ConfigError:
            raise
        except CavsyncError as error:
            # The user never named the temporary file.
            message = str(error).replace(str(temporary), str(output)).replace(temporary.name, output.name)
            raise MediaError(message, reason=getattr(error, "reason", "invalid")) from None
    return Fixed(output, offset_ms, checked, [*copied.notes, *_hidden_notes(copied.traces, output)])


def _hidden_notes(traces: list[Trace], output: Path) -> list[str]:
    """What an edit list hid is seen once its stream is delayed, or in a container without such lists."""
    notes = []
    for trace in traces:
        shown_seconds = trace.hidden_seconds
        if output.suffix.lower() in ISO_ENDINGS and trace.start_seconds is not None:
            shown_seconds -= max(Fraction(0), -(trace.start_seconds + trace.delay_seconds))
        if shown_seconds > MIN_NOTED_SECONDS:
            notes.append(
                f"OUTPUT shows {1000 * float(shown_seconds):.0f} ms of {trace.kind} that INPUT hides at its start"
            )
    return notes
