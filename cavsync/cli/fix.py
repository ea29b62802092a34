"""`cavsync fix`: a copy of a file without its audio-visual offset, nothing re-encoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.progress import progress_bar
from cavsync.cli.threads import thread_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, FileSummary, ScoringOptions, SyncScore
    from cavsync.deploy.repair.fix import Fixed

FILE = click.Path(dir_okay=False, path_type=Path)
INTERRUPTED = 130
Scorer = Callable[[Path], "FileSummary"]


@click.command("fix")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUTPUT", type=FILE)
@click.option("--offset-ms", type=float, metavar="X",
              help="The offset to remove: > 0 where the audio is early, so that it is delayed by X; < 0 where it is "
              "late. Without it the offset is measured.")  # fmt: skip
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Folder that `cavsync export` wrote, to measure with; by default the model that comes with "
              "cavsync. With --offset-ms it only checks the result.")  # fmt: skip
@click.option("--audio-stream", type=click.IntRange(min=0), metavar="N",
              help="Move this audio stream only, counted from 0; by default all of them.")  # fmt: skip
@click.option("--force", is_flag=True,
              help="Remove the best match even if it is not trusted, or counts as in sync.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("--no-check", is_flag=True, help="Do not score OUTPUT; the times of its packets are compared anyway.")
@click.option("--profile", default="itu-bt1359-detect", show_default=True, metavar="NAME",
              help="Limits of what counts as in sync: itu-bt1359-detect, itu-bt1359-accept, ebu-r37, atsc-is191 or "
              "one-frame.")  # fmt: skip
@thread_options
def fix(
    source: Path,
    output: Path,
    offset_ms: float | None,
    bundle: Path | None,
    audio_stream: int | None,
    force: bool,
    overwrite: bool,
    no_check: bool,
    profile: str,
    threads: int | None,
    cores: tuple[int, ...] | None,
) -> None:
    """Copy INPUT to OUTPUT with its audio-visual offset removed; no frame and no audio is re-encoded.

    The offset is measured, or given by --offset-ms. Nothing is cut: late audio is put right by delaying all the rest.
    OUTPUT's ending chooses the container; INPUT is never changed. Exit code 1: nothing could be done, or OUTPUT still
    is not in sync.
    """
    from cavsync.deploy.repair.fix import fix_file
    from cavsync.deploy.repair.new_file import check_place
    from cavsync.errors import CavsyncError

    scoring = _checked(offset_ms, audio_stream, profile)
    try:
        check_place(source, output, overwrite=overwrite)
        needs_model = offset_ms is None or (bundle is not None and not no_check)
        scorer = _scorer(_opened(bundle, threads, cores), scoring) if needs_model else None
        if offset_ms is None:
            assert scorer is not None
            offset_ms = _measured(source, scorer, force=force)
            if offset_ms is None:
                return
        with progress_bar(f"copying {source.name}") as on_progress:
            fixed: Fixed[FileSummary] = fix_file(
                source,
                output,
                offset_ms,
                audio_stream=audio_stream,
                overwrite=overwrite,
                check=None if no_check else scorer,
                on_progress=on_progress,
            )
    except CavsyncError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        click.echo("interrupted: nothing was written", err=True)
        raise SystemExit(INTERRUPTED) from None
    _report(fixed)


def _checked(offset_ms: float | None, audio_stream: int | None, profile: str) -> ScoringOptions:
    """The options to score with; UsageError where the command's options cannot be used."""
    from cavsync.deploy import ScoringOptions
    from cavsync.deploy.repair.remux import MAX_OFFSET_MS
    from cavsync.errors import ConfigError

    if offset_ms is None and audio_stream:
        raise click.UsageError("only audio stream 0 is measured: give --offset-ms for another one.")
    if offset_ms is not None and (not math.isfinite(offset_ms) or not 0 < abs(offset_ms) <= MAX_OFFSET_MS):
        raise click.UsageError(f"--offset-ms is {offset_ms:g}: give an offset other than 0, of at most an hour.")
    try:
        return ScoringOptions(profile=profile)
    except ConfigError as error:
        raise click.UsageError(f"{error}.") from None


def _opened(bundle: Path | None, threads: int | None, cores: tuple[int, ...] | None) -> Bundle:
    from cavsync.deploy import Bundle
    from cavsync.deploy.runtime.default_bundle import default_bundle

    return Bundle.open(default_bundle() if bundle is None else bundle, threads=threads, cores=cores)


def _scorer(bundle: Bundle, scoring: ScoringOptions) -> Scorer:
    """Path -> the summary of its score, with a bar while it works."""
    from cavsync.deploy import score_file

    def summary_of(path: Path) -> FileSummary:
        with progress_bar("measuring") as on_progress:
            return score_file(path, bundle, scoring, on_progress=on_progress).summary

    return summary_of


def _measured(source: Path, scorer: Scorer, *, force: bool) -> float | None:
    """The offset to remove, or None after saying that there is none."""
    from cavsync.deploy.repair.fix import offset_to_remove
    from cavsync.deploy.verdict.words import headline

    before = scorer(source).score
    offset_ms = offset_to_remove(source, before, force=force)
    click.echo(f"before:   {_offset(before)}  {headline(before)}")
    if not offset_ms:
        click.echo("in sync already: nothing was written (--force removes what is left)")
        return None
    return offset_ms


def _offset(score: SyncScore) -> str:
    # Adding zero after rounding turns -0 into +0.
    return "-" if score.audio_offset_ms is None else f"{round(score.audio_offset_ms) + 0.0:+.0f} ms"


def _report(fixed: Fixed[FileSummary]) -> None:
    """Say what was done; exit code 1 where the copy is measurably not in sync."""
    from cavsync.deploy.verdict.words import headline

    verb = "delayed" if fixed.removed_ms > 0 else "advanced"
    click.echo(f"removed:  {fixed.removed_ms:+.1f} ms  (audio {verb}; the times of all packets agree)")
    for note in fixed.notes:
        click.echo(f"note: {note}", err=True)
    if fixed.checked is None:
        click.echo(f"written:  {fixed.output}")
        return
    after = fixed.checked.score
    click.echo(f"residual: {_offset(after)}  {headline(after)}")
    click.echo(f"written:  {fixed.output}")
    if after.within_profile is False:
        click.echo(
            f"warning: {fixed.output} is still out of {after.profile} ({headline(after)}): see it with cavsync score",
            err=True,
        )
        raise SystemExit(1)
    if after.within_profile is None:
        reason = after.reason or "the score is undetermined"
        click.echo(f"note: the result cannot be confirmed by its score ({reason})", err=True)
