"""`cavsync fix`: copy a file with its audio-visual offset removed, without re-encoding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.errors import ExitStatus, end, stopped_by_signals
from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import path_option, track_options
from cavsync.cli.threads import thread_options
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, FileScore, FileSummary, ScoringOptions, SyncScore
    from cavsync.deploy.repair.fix import Fixed

FILE = click.Path(dir_okay=False, path_type=Path)
Scorer = Callable[[Path], "FileScore"]


@click.command("fix")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT", type=FILE)
@click.option("--offset-ms", type=float, metavar="X",
              help="Offset to remove: > 0 if the audio is early, which delays it by X; < 0 if it is late. "
              "By default the offset is measured.")  # fmt: skip
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Bundle to measure with, written by `cavsync export`; by default the model that comes with "
              "cavsync. With --offset-ms it only checks the result.")  # fmt: skip
@track_options
@click.option("--all-audio", is_flag=True,
              help="Move all audio tracks; by default only the one that is measured, with those that are channels of "
              "the same sound.")  # fmt: skip
@click.option("--leave-out", type=click.IntRange(min=0), multiple=True, metavar="N",
              help="Do not copy this stream, counted from 0 over all streams; may be repeated.")  # fmt: skip
@click.option("--stretch", is_flag=True,
              help="Remove a measured drift: resample and re-encode the audio stream that was measured. The other "
              "streams are copied.")  # fmt: skip
@click.option("--force", is_flag=True,
              help="Remove the measured offset even if it is not trusted, or counts as in sync.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option(
    "--no-check", is_flag=True, help="Do not score OUTPUT; its packet times are still compared with those of INPUT."
)
@click.option("--profile", default="itu-bt1359-detect", show_default=True, metavar="NAME",
              help="Limits of what counts as in sync: itu-bt1359-detect, itu-bt1359-accept, ebu-r37, "
              "atsc-is191 or one-frame.")  # fmt: skip
@path_option
@thread_options
def fix(
    source: Path,
    output: Path,
    offset_ms: float | None,
    bundle: Path | None,
    audio_stream: str | None,
    video_stream: int | None,
    program: int | None,
    all_audio: bool,
    leave_out: tuple[int, ...],
    stretch: bool,
    force: bool,
    overwrite: bool,
    no_check: bool,
    profile: str,
    path: str,
    threads: int | None,
    cores: tuple[int, ...] | None,
) -> None:
    """Copy INPUT to OUTPUT with its audio-visual offset removed; no stream is re-encoded unless --stretch is given.

    The offset is measured, or given by --offset-ms. The audio track that a player would play, or the one that
    --audio-stream names, is moved. Nothing is cut: late audio is corrected by delaying all other streams. If there are
    several programmes, --program names the one to copy. OUTPUT's file name extension chooses the container; INPUT is
    never changed. After Ctrl-C or SIGTERM no file is left. Exit status 1: nothing could be written, or OUTPUT is still
    out of sync.
    """
    from cavsync.deploy import ScoringOptions
    from cavsync.deploy.repair.fix import fix_file
    from cavsync.deploy.repair.moved_tracks import moved_tracks, tracks_in_copy
    from cavsync.deploy.repair.new_file import check_place
    from cavsync.deploy.repair.programme import outside

    _checked(offset_ms, stretch=stretch)
    scoring = ScoringOptions(
        profile=profile, path=path, audio_stream=audio_stream, video_stream=video_stream, program=program
    )
    with stopped_by_signals("nothing was written") as check:
        check_place(source, output, overwrite=overwrite)
        needs_model = offset_ms is None or (bundle is not None and not no_check)
        leave_out = (*leave_out, *sorted(outside(source, program) - set(leave_out)))
        moved = moved_tracks(source, scoring.tracks, all_audio=all_audio, is_measured=needs_model, leave_out=leave_out)
        # The copy keeps the order of the tracks, but not in every container their programmes.
        scoring = replace(scoring, audio_stream=moved.measured or None, program=None)
        scorer = copy_scorer = None
        if needs_model:
            opened = _opened(bundle, threads, cores)
            scorer = _scorer(opened, scoring)
            name, video = tracks_in_copy(source, moved.measured, video_stream, leave_out)
            copy_scorer = _scorer(opened, replace(scoring, audio_stream=name or None, video_stream=video))
        ratio: Fraction | None = None
        if offset_ms is None:
            assert scorer is not None
            if stretch:
                offset_ms, ratio = _measured_drift(source, scorer)
            else:
                offset_ms = _measured(source, scorer, force=force)
            if offset_ms is None:
                return
        with progress_bar(f"copying {source.name}") as on_copied:

            def on_progress(done_seconds: float, declared_seconds: float | None) -> None:
                check()
                on_copied(done_seconds, declared_seconds)

            fixed: Fixed[FileSummary] = fix_file(
                source,
                output,
                offset_ms,
                audio_streams=None if all_audio else moved.numbers,
                leave_out=leave_out,
                program=program,
                stretch=ratio,
                overwrite=overwrite,
                check=None if no_check or copy_scorer is None else _checker(copy_scorer, is_stretched=stretch),
                on_progress=on_progress,
            )
    _report(fixed, moved.notes)


def _checked(offset_ms: float | None, *, stretch: bool) -> None:
    """Check the offset of the command."""
    from cavsync.deploy.repair.remux import MAX_OFFSET_MS

    if offset_ms is not None and stretch:
        raise click.UsageError("--stretch takes out a measured drift: leave out --offset-ms.")
    if offset_ms is not None and (not math.isfinite(offset_ms) or not 0 < abs(offset_ms) <= MAX_OFFSET_MS):
        raise click.UsageError(f"--offset-ms is {offset_ms:g}: give an offset other than 0, of at most an hour.")


def _opened(bundle: Path | None, threads: int | None, cores: tuple[int, ...] | None) -> Bundle:
    from cavsync.deploy import Bundle

    return Bundle.open(bundle, threads=threads, cores=cores)


def _scorer(bundle: Bundle, scoring: ScoringOptions) -> Scorer:
    """Return a function that scores a file, with a progress bar."""
    from cavsync.deploy import score_file

    def score_of(path: Path) -> FileScore:
        with progress_bar("measuring") as on_progress:
            return score_file(path, bundle, scoring, on_progress=on_progress)

    return score_of


def _checker(scorer: Scorer, *, is_stretched: bool) -> Callable[[Path], FileSummary]:
    """Return a function that scores the copy; it raises MediaError where stretching left a drift."""
    from cavsync.deploy.repair.fix import check_stretched

    def summary_of(path: Path) -> FileSummary:
        summary = scorer(path).summary
        if is_stretched:
            check_stretched(path, summary.score, summary.drift_ms_per_minute)
        return summary

    return summary_of


def _measured_drift(source: Path, scorer: Scorer) -> tuple[float, Fraction]:
    """Return the offset to remove at the start of the file, and by how much longer the audio must become."""
    from cavsync.deploy.repair.fix import drift_to_remove
    from cavsync.deploy.verdict.words import headline

    before = scorer(source)
    drift = drift_to_remove(source, before.records, before.summary.drift_ms_per_minute)
    score = before.summary.score
    click.echo(f"before:   {_offset(score)}  {headline(score)}, drifting by {drift.ms_per_minute:+.1f} ms per minute")
    return drift.start_ms, drift.ratio


def _measured(source: Path, scorer: Scorer, *, force: bool) -> float | None:
    """Return the offset to remove; None, after a message, if the file is in sync."""
    from cavsync.deploy.repair.fix import offset_to_remove
    from cavsync.deploy.verdict.words import headline

    summary = scorer(source).summary
    before = summary.score
    offset_ms = offset_to_remove(source, before, drift_ms_per_minute=summary.drift_ms_per_minute, force=force)
    click.echo(f"before:   {_offset(before)}  {headline(before)}")
    if not offset_ms:
        click.echo("in sync already: nothing was written (--force removes the remaining offset)")
        return None
    return offset_ms


def _offset(score: SyncScore) -> str:
    # Adding zero after rounding turns -0 into +0.
    return "-" if score.audio_offset_ms is None else f"{round(score.audio_offset_ms) + 0.0:+.0f} ms"


def _report(fixed: Fixed[FileSummary], moved: Iterable[str]) -> None:
    """Print what was done; end with status 1 if the copy is measured to be out of sync."""
    from cavsync.deploy.verdict.words import headline

    moved_part = "the audio is" if fixed.removed_ms > 0 else "all but the audio is"
    click.echo(f"removed:  {fixed.removed_ms:+.1f} ms  ({moved_part} delayed; the times of all packets agree)")
    for note in (*moved, *fixed.notes):
        click.echo(printable(f"note: {note}"), err=True)
    if fixed.checked is None:
        click.echo(printable(f"written:  {fixed.output}"))
        return
    after = fixed.checked.score
    click.echo(f"residual: {_offset(after)}  {headline(after)}")
    click.echo(printable(f"written:  {fixed.output}"))
    if after.within_profile is False:
        end(
            ExitStatus.FAILURE,
            printable(
                f"warning: {fixed.output} is still out of {after.profile} ({headline(after)}): see `cavsync score`"
            ),
        )
    if after.within_profile is None:
        reason = after.reason or "the score is undetermined"
        click.echo(f"note: the result cannot be confirmed by its score ({reason})", err=True)
