"""`cavsync score`: measure the offset of files; output as a table, HTML, JSON lines, CSV and WebVTT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.errors import ExitStatus, end, print_error
from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import bundle_option, scoring_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, Outcome, ScoringOptions
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords
    from cavsync.deploy.verdict.records import SyncScore

FILE = click.Path(dir_okay=False, path_type=Path)
PIPE_WIDTH = 240
OUT_OF_PROFILE, UNDETERMINED = "out-of-profile", "undetermined"
CAPTION = "offset > 0: the audio is early; (in brackets): the best match, not trusted"


def _conditions(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    """Parse --fail-on, which may be repeated and may hold several conditions separated by commas."""
    found = frozenset(part.strip() for value in values for part in value.split(","))
    unknown = found - {OUT_OF_PROFILE, UNDETERMINED}
    if unknown:
        raise click.BadParameter(f"{min(unknown)!r} is not known: use {OUT_OF_PROFILE} or {UNDETERMINED}.")
    return found


@click.command("score")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@bundle_option
@click.option("--json", "json_out", metavar="FILE|-", help="Write JSON lines: one per decision and one per file.")
@click.option("--csv", "csv_out", type=FILE, help="Write the same as a CSV table.")
@click.option("--html", "html_out", type=FILE, help="Write a self-contained report page with charts.")
@click.option("--vtt", "vtt_out", type=FILE, help="Write WebVTT metadata cues; requires a single INPUT.")
@scoring_options
@click.option("--fail-on", metavar="WHAT[,WHAT]", multiple=True, callback=_conditions,
              help="Exit with status 3 if the verdict on any input is WHAT: out-of-profile, undetermined.")  # fmt: skip
def score(
    inputs: tuple[str, ...],
    bundle: Path | None,
    json_out: str | None,
    csv_out: Path | None,
    html_out: Path | None,
    vtt_out: Path | None,
    fail_on: frozenset[str],
    scoring: ScoringOptions,
    engine: EngineKeywords,
) -> None:
    """Measure how far the audio of each INPUT is early or late.

    INPUT is a media file or a folder of them. A positive offset means that the audio is early (ITU-R BT.1359); SyncNet
    and some broadcast equipment use the opposite sign. Exit status 1: an input or the bundle could not be used; 3: all
    inputs were scored, and the verdict on one of them is named by --fail-on.
    """
    from cavsync.deploy import Bundle, FileFailure
    from cavsync.deploy.sinks import check_writable

    for out in (None if json_out == "-" else json_out, csv_out, html_out, vtt_out):
        if out is not None:
            check_writable(out)
    opened = Bundle.open(bundle, **engine)
    # Report options that suit no file before the first file is opened.
    scoring.check(opened.manifest)
    sources = _media_files(inputs)
    if vtt_out is not None and len(sources) != 1:
        raise click.UsageError(f"--vtt takes one input, {len(sources)} were given: score them one by one.")
    outcomes, stopped = _score_all(sources, opened, scoring, keep_picture=html_out is not None)
    if outcomes:
        _write(outcomes, json_out, csv_out, html_out, vtt_out)
        _print_table(outcomes, to_stderr=json_out == "-")
    if isinstance(stopped, KeyboardInterrupt):
        raise KeyboardInterrupt(f"{len(outcomes)} of {len(sources)} inputs were scored and written")
    if stopped is not None:
        raise stopped
    if any(isinstance(outcome, FileFailure) for outcome in outcomes):
        end(ExitStatus.FAILURE)
    if fail_on:
        _fail_if(fail_on, outcomes)


def _fail_if(fail_on: frozenset[str], outcomes: Sequence[Outcome]) -> None:
    """End with status 3 if the verdict on a whole file is in `fail_on`."""
    from cavsync.deploy import FileScore

    kinds = {False: OUT_OF_PROFILE, None: UNDETERMINED}
    verdicts = [kinds.get(item.summary.score.within_profile) for item in outcomes if isinstance(item, FileScore)]
    found = [f"{verdicts.count(kind)} {kind}" for kind in sorted(fail_on) if kind in verdicts]
    if found:
        end(ExitStatus.CHECK_FAILED, f"failed: {', '.join(found)} of {len(outcomes)} (--fail-on)")


def _media_files(inputs: Sequence[str]) -> list[str]:
    """List the input files, each once; a folder stands for the media files in it."""
    from cavsync.errors import MediaError
    from cavsync.media.files import MEDIA_ENDINGS, find_media

    sources: list[str] = []
    for name in inputs:
        if not Path(name).is_dir():
            sources.append(name)
            continue
        found = [str(path) for path in find_media(Path(name))]
        if not found:
            raise MediaError(f"{name} holds no media file (looked for {' '.join(sorted(MEDIA_ENDINGS))})")
        sources += found
    return list(dict.fromkeys(sources))


def _score_all(
    sources: Sequence[str], opened: Bundle, scoring: ScoringOptions, *, keep_picture: bool
) -> tuple[list[Outcome], BaseException | None]:
    """Score every input. Also return what ended the batch early: Ctrl-C, or an error that all files would meet."""
    from cavsync.deploy import FileFailure, score_file
    from cavsync.errors import BundleError, CavsyncError, ConfigError

    outcomes: list[Outcome] = []
    for index, source in enumerate(sources, start=1):
        with progress_bar(f"{index}/{len(sources)} {Path(source).name}") as on_progress:
            try:
                outcomes.append(score_file(source, opened, scoring, on_progress=on_progress, keep_picture=keep_picture))
                continue
            except (KeyboardInterrupt, BundleError, ConfigError) as error:
                return outcomes, error
            except CavsyncError as error:
                failure = FileFailure(source, str(error))
        outcomes.append(failure)
        print_error(failure.error)
    return outcomes, None


def _write(
    outcomes: Sequence[Outcome], json_out: str | None, csv_out: Path | None, html_out: Path | None, vtt_out: Path | None
) -> None:
    from cavsync.deploy import FileScore
    from cavsync.deploy.sinks import csv_text, jsonl_text, vtt_text, write_text_atomically
    from cavsync.deploy.sinks.html import html_text

    if json_out == "-":
        click.echo(jsonl_text(outcomes), nl=False)
    elif json_out is not None:
        write_text_atomically(json_out, jsonl_text(outcomes))
    if csv_out is not None:
        write_text_atomically(csv_out, csv_text(outcomes))
    if html_out is not None:
        write_text_atomically(html_out, html_text(outcomes))
    if vtt_out is not None and isinstance(outcomes[0], FileScore):
        write_text_atomically(vtt_out, vtt_text(outcomes[0]))


def _print_table(outcomes: Sequence[Outcome], *, to_stderr: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cavsync.deploy import FileFailure
    from cavsync.deploy.files.totals import totals_sentence
    from cavsync.deploy.verdict.words import headline

    table = Table(caption=CAPTION, caption_justify="left", box=None, pad_edge=False)
    for column in ("clip", "verdict", "path"):
        table.add_column(column, overflow="fold")
    for column in ("offset ms", "confidence", "drift ms/min", "windows undetermined"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        name = Text(Path(outcome.source).name or outcome.source)
        if isinstance(outcome, FileFailure):
            table.add_row(name, "not scored")
            continue
        summary = outcome.summary
        total = summary.score
        table.add_row(
            name,
            headline(total),
            total.path,
            _offset(total),
            _number(total.confidence, ".2f", 2),
            _number(summary.drift_ms_per_minute, "+.1f", 1),
            f"{summary.undetermined_share:.0%} of {summary.num_windows}",
        )
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        # Wrapped file names could not be searched for.
        console = Console(stderr=to_stderr, width=PIPE_WIDTH)
    console.print(table)
    if len(outcomes) > 1:
        console.print(f"\n{len(outcomes)} inputs: {totals_sentence(outcomes)}", highlight=False)


def _offset(score: SyncScore) -> str:
    from cavsync.deploy.verdict.words import is_trusted

    number = _number(score.audio_offset_ms, "+.0f", 0)
    return number if is_trusted(score) else f"({number})"


def _number(value: float | None, form: str, decimals: int) -> str:
    # Adding zero after rounding turns -0 into +0.
    return "-" if value is None else format(round(value, decimals) + 0.0, form)
