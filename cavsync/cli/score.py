"""`cavsync score`: measure the offset of files; output as a table, HTML, JSON lines, CSV and WebVTT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.errors import ExitStatus, end, stopped_by_signals
from cavsync.cli.scoring import bundle_option, scoring_options
from cavsync.errors import DataError
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.deploy import FileScore, Outcome, ScoringOptions
    from cavsync.deploy.files.row import FileRow
    from cavsync.deploy.files.score_file import Progress
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords

FILE = click.Path(dir_okay=False, path_type=Path)
PIPE_WIDTH = 240
STDOUT = "-"
OUT_OF_PROFILE, UNDETERMINED = "out-of-profile", "undetermined"
MAX_REASONS = 20
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
@click.option("--resume", is_flag=True,
              help="Continue an interrupted batch with the same --json, --csv or --html: score only files that are "
              "new, have changed or failed. The other options must be the same.")  # fmt: skip
@scoring_options
@click.option("--all-audio", is_flag=True,
              help="Score every audio track separately, in one pass.")  # fmt: skip
@click.option("--fail-on", metavar="WHAT[,WHAT]", multiple=True, callback=_conditions,
              help="Exit with status 3 if the verdict on any input, or with --all-audio on any track, is WHAT: "
              "out-of-profile, undetermined.")  # fmt: skip
def score(
    inputs: tuple[str, ...],
    bundle: Path | None,
    json_out: str | None,
    csv_out: Path | None,
    html_out: Path | None,
    vtt_out: Path | None,
    resume: bool,
    fail_on: frozenset[str],
    scoring: ScoringOptions,
    engine: EngineKeywords,
) -> None:
    """Measure how far the audio of each INPUT is early or late.

    INPUT is a media file or a folder of them, in which hidden files are skipped. A positive offset means that the audio
    is early (ITU-R BT.1359); SyncNet and some broadcast equipment use the opposite sign. After Ctrl-C, SIGTERM or a
    full disk nothing that was scored is lost (see --resume). Exit status 1: an input or the bundle could not be used;
    3: all inputs were scored, and the verdict on at least one is named by --fail-on.
    """
    from cavsync.cli.score_batch import Outputs, open_batch, score_all
    from cavsync.deploy import Bundle, score_file
    from cavsync.deploy.files.apart import score_apart
    from cavsync.deploy.files.row import FAILED

    outputs = Outputs(json_out, csv_out, html_out, vtt_out)
    sources = media_files(inputs)
    outputs.check(sources)
    opened = Bundle.open(bundle, **engine)
    # Report options that suit no file before the first file is opened.
    scoring.check(opened.manifest)
    if vtt_out is not None and (len(sources) != 1 or resume):
        raise click.UsageError(f"--vtt takes one input and no --resume, {len(sources)} were given: score one by one.")

    def score_one(source: str, on_progress: Progress) -> FileScore:
        return score_file(source, opened, scoring, on_progress=on_progress, keep_picture=html_out is not None)

    def score_alone(source: str) -> Outcome:
        return score_apart(source, opened.path, engine, scoring, keep_picture=html_out is not None)

    with (
        stopped_by_signals() as check,
        open_batch(outputs, opened, scoring, engine["engine"], resume=resume) as batch,
    ):
        stopped = score_all(sources, batch, score_one, score_alone, check)
        rows = batch.rows
        if isinstance(stopped, DataError):
            raise DataError(f"{stopped}; {len(rows)} of {len(sources)} inputs were scored and are kept")
        batch.finish(is_complete=stopped is None)
        if rows:
            _print_table(rows, to_stderr=json_out == STDOUT)
    if isinstance(stopped, KeyboardInterrupt):
        rest = "" if batch.file is None or not rows else "; --resume continues with the rest"
        raise type(stopped)(f"{len(rows)} of {len(sources)} inputs were scored and written{rest}")
    if stopped is not None:
        raise stopped
    if any(row.state == FAILED for row in rows):
        end(ExitStatus.FAILURE)
    if fail_on:
        _fail_if(fail_on, rows)


def _fail_if(fail_on: frozenset[str], rows: Sequence[FileRow]) -> None:
    """End with status 3 if the verdict on a whole file is in `fail_on`."""
    kinds = {False: OUT_OF_PROFILE, None: UNDETERMINED}
    verdicts = [{kinds.get(one) for one in (row.within_profile, *row.tracks_within_profile)} for row in rows]
    counts = {kind: sum(kind in found for found in verdicts) for kind in sorted(fail_on)}
    found = [f"{count} {kind}" for kind, count in counts.items() if count]
    if found:
        end(ExitStatus.CHECK_FAILED, f"failed: {', '.join(found)} of {len(rows)} (--fail-on)")


def media_files(inputs: Sequence[str]) -> list[str]:
    """List the input files, each once; a folder stands for the media files in it.

    A folder in it that cannot be listed is among them, as an input that cannot be scored.
    """
    from cavsync.errors import MediaError
    from cavsync.media.files import MEDIA_ENDINGS, find_media

    sources: list[str] = []
    for name in inputs:
        # Not Path.is_dir: a name that is too long is an error of that input alone.
        if not os.path.isdir(name):  # noqa: PTH112
            sources.append(name)
            continue
        unreadable: dict[str, str] = {}
        found = [str(path) for path in find_media(Path(name), unreadable.__setitem__)]
        found += unreadable
        if not found:
            raise MediaError(f"{name} holds no media file (looked for {' '.join(sorted(MEDIA_ENDINGS))})")
        sources += found
    return list(dict.fromkeys(sources))


def _print_table(rows: Sequence[FileRow], *, to_stderr: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from cavsync.deploy.files.row import FAILED
    from cavsync.deploy.files.totals import totals_sentence

    table = Table(caption=CAPTION, caption_justify="left", box=None, pad_edge=False)
    for column in ("clip", "verdict", "path"):
        table.add_column(column, overflow="fold")
    for column in ("offset ms", "confidence", "drift ms/min", "windows undetermined"):
        table.add_column(column, justify="right")
    for row in rows:
        name = Text(printable(Path(row.source).name or row.source))
        if row.state == FAILED:
            table.add_row(name, "not scored")
            continue
        table.add_row(
            name,
            row.verdict,
            row.path,
            _offset(row),
            _number(row.confidence, ".2f", 2),
            _number(row.drift_ms_per_minute, "+.1f", 1),
            f"{row.undetermined_share:.0%} of {row.num_windows}",
        )
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        # Wrapped file names could not be searched for.
        console = Console(stderr=to_stderr, width=PIPE_WIDTH)
    console.print(table)
    # A large batch has them in its files.
    with_reasons = len(rows) <= MAX_REASONS
    for row in rows:
        reasons = [f"undetermined: {row.reason}"] if with_reasons and row.reason is not None else []
        for line in (*reasons, *row.tracks, *(f"note: {note}" for note in row.notes)):
            console.print(Text(printable(f"{Path(row.source).name or row.source}: {line}")))
    if len(rows) > 1:
        console.print(f"\n{len(rows)} inputs: {totals_sentence(rows)}", highlight=False)


def _offset(row: FileRow) -> str:
    number = _number(row.audio_offset_ms, "+.0f", 0)
    return number if row.is_trusted else f"({number})"


def _number(value: float | None, form: str, decimals: int) -> str:
    # Adding zero after rounding turns -0 into +0.
    return "-" if value is None else format(round(value, decimals) + 0.0, form)
