"""`cavsync score`: the offset of files, for people (table, HTML) and for programs (JSON lines, CSV, WebVTT)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.progress import progress_bar
from cavsync.cli.scoring import scoring_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, Outcome, ScoringOptions
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords
    from cavsync.deploy.verdict.records import SyncScore

FILE = click.Path(dir_okay=False, path_type=Path)
INTERRUPTED = 130
FAILED_CHECK = 3
PIPE_WIDTH = 240
OUT_OF_PROFILE, UNDETERMINED = "out-of-profile", "undetermined"
CAPTION = "offset > 0: the audio is early; (in brackets): the best match, not to be trusted"


def _conditions(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> frozenset[str]:
    """Conditions of --fail-on, given several times or with commas between them."""
    found = frozenset(part.strip() for value in values for part in value.split(","))
    unknown = found - {OUT_OF_PROFILE, UNDETERMINED}
    if unknown:
        raise click.BadParameter(f"{min(unknown)!r} is not known: use {OUT_OF_PROFILE} or {UNDETERMINED}.")
    return found


@click.command("score")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.option("--bundle", type=click.Path(path_type=Path),
              help="Folder that `cavsync export` wrote; by default the model that comes with cavsync.")  # fmt: skip
@click.option("--json", "json_out", metavar="FILE|-", help="Write JSON lines: a line per decision and one per file.")
@click.option("--csv", "csv_out", type=FILE, help="Write a CSV table of the same.")
@click.option("--html", "html_out", type=FILE, help="Write a report page with charts; it needs no other file.")
@click.option("--vtt", "vtt_out", type=FILE, help="Write WebVTT metadata cues; takes one INPUT only.")
@scoring_options
@click.option("--fail-on", metavar="WHAT[,WHAT]", multiple=True, callback=_conditions,
              help="Exit with status 3 if any input is out-of-profile, or undetermined: for checks in CI.")  # fmt: skip
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
    and some broadcast gear use the opposite sign. Exit code 1: an input or the bundle could not be used; 3: all were
    scored, and --fail-on says that the verdict on one of them is a failure.
    """
    from cavsync.deploy import Bundle, FileFailure
    from cavsync.deploy.runtime.default_bundle import default_bundle
    from cavsync.deploy.sinks import check_writable
    from cavsync.errors import CavsyncError

    try:
        for out in (None if json_out == "-" else json_out, csv_out, html_out, vtt_out):
            if out is not None:
                check_writable(out)
        opened = Bundle.open(default_bundle() if bundle is None else bundle, **engine)
        _check_options(opened, scoring)
        sources = _media_files(inputs)
        if vtt_out is not None and len(sources) != 1:
            raise click.UsageError(f"--vtt takes one input, {len(sources)} were given: score them one by one.")
        outcomes, was_interrupted = _score_all(sources, opened, scoring)
        if outcomes:
            _write(outcomes, json_out, csv_out, html_out, vtt_out)
            _print_table(outcomes, to_stderr=json_out == "-")
    except CavsyncError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(1) from None
    if was_interrupted:
        click.echo(f"interrupted: {len(outcomes)} of {len(sources)} inputs are in what was written", err=True)
        raise SystemExit(INTERRUPTED)
    if any(isinstance(outcome, FileFailure) for outcome in outcomes):
        raise SystemExit(1)
    if fail_on:
        _fail_if(fail_on, outcomes)


def _fail_if(fail_on: frozenset[str], outcomes: Sequence[Outcome]) -> None:
    """End with status 3 where the verdict on a whole file is one of those asked for."""
    from cavsync.deploy import FileScore

    kinds = {False: OUT_OF_PROFILE, None: UNDETERMINED}
    verdicts = [kinds.get(item.summary.score.within_profile) for item in outcomes if isinstance(item, FileScore)]
    found = [f"{verdicts.count(kind)} {kind}" for kind in sorted(fail_on) if kind in verdicts]
    if found:
        click.echo(f"failed: {', '.join(found)} of {len(outcomes)} (--fail-on)", err=True)
        raise SystemExit(FAILED_CHECK)


def _check_options(opened: Bundle, scoring: ScoringOptions) -> None:
    """Refuse options that this bundle cannot be used with as bad usage, not as a fault of the first file."""
    from cavsync.errors import ConfigError

    try:
        scoring.grid_for(opened.manifest.sync)
    except ConfigError as error:
        raise click.UsageError(f"{error}.") from None


def _media_files(inputs: Sequence[str]) -> list[str]:
    """Files as given, folders as the media files in them, each once."""
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


def _score_all(sources: Sequence[str], opened: Bundle, scoring: ScoringOptions) -> tuple[list[Outcome], bool]:
    """What became of each input, and whether Ctrl-C ended it early."""
    from cavsync.deploy import FileFailure, score_file
    from cavsync.errors import BundleError, CavsyncError

    outcomes: list[Outcome] = []
    for index, source in enumerate(sources, start=1):
        with progress_bar(f"{index}/{len(sources)} {Path(source).name}") as on_progress:
            try:
                outcomes.append(score_file(source, opened, scoring, on_progress=on_progress))
                continue
            except KeyboardInterrupt:
                return outcomes, True
            except BundleError:
                # The next file would meet the same fault.
                raise
            except CavsyncError as error:
                failure = FileFailure(source, str(error))
        outcomes.append(failure)
        click.echo(f"error: {failure.error}", err=True)
    return outcomes, False


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
    for column, justify in (("clip", "left"), ("verdict", "left"), ("offset ms", "right"), ("confidence", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left", overflow="fold")
    for column in ("drift ms/min", "windows undetermined"):
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
            _offset(total),
            _number(total.confidence, ".2f", 2),
            _number(summary.drift_ms_per_minute, "+.1f", 1),
            f"{summary.undetermined_share:.0%} of {summary.num_windows}",
        )
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        # Names that are broken into lines cannot be searched for.
        console = Console(stderr=to_stderr, width=PIPE_WIDTH)
    console.print(table)
    if len(outcomes) > 1:
        console.print(f"\n{len(outcomes)} inputs: {totals_sentence(outcomes)}", highlight=False)


def _offset(score: SyncScore) -> str:
    number = _number(score.audio_offset_ms, "+.0f", 0)
    is_trusted = score.audio_offset_ms is None or score.is_measured or score.is_varying
    return number if is_trusted else f"({number})"


def _number(value: float | None, form: str, decimals: int) -> str:
    # Adding zero after rounding turns -0 into +0.
    return "-" if value is None else format(round(value, decimals) + 0.0, form)
