"""`cavsync demo`: generate clips, train, export, and score unseen clips with known offsets."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync import __version__
from cavsync.cli.demo_rounds import DECIDED_SHARE, MAX_HALVES, Pace, rounds_left
from cavsync.cli.errors import end_by_signal, stopped_by_signals
from cavsync.cli.progress import counting_bar
from cavsync.cli.train import prepare_threads, run_training
from cavsync.errors import ConfigError
from cavsync.file_names import printable

if TYPE_CHECKING:
    from rich.console import Console

    from cavsync.deploy import Bundle, Outcome
    from cavsync.evaluate.sync.offset_rows import OffsetRow

SETTINGS_NAME = "demo.json"
MAX_OFFSET_MS = 800.0
# Keeps the seeds of the training and the test clips apart.
HELD_OUT_SEED_STEP = 1_000_000
MIN_TABLE_COLUMNS = 110
GOES_ON = "the same command goes on from there"


@dataclass(frozen=True)
class Settings:
    """Settings of a demo, stored in its folder."""

    clips: int
    test_clips: int
    steps: int
    seed: int


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True,
              help="Folder for clips, run, bundle, scores and report.")  # fmt: skip
@click.option("--clips", type=click.IntRange(min=20), default=160, show_default=True, help="Clips to train on.")
@click.option("--test-clips", type=click.IntRange(min=1), default=24, show_default=True, help="Clips to score.")
@click.option("--steps", type=click.IntRange(min=1), default=400, show_default=True,
              help=f"Steps to train; up to {MAX_HALVES // 2} times as many if the model does not decide "
              f"{DECIDED_SHARE:.0%} of the held-out files by then.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the clips and of the training.")  # fmt: skip
def demo(out: Path, clips: int, test_clips: int, steps: int, seed: int) -> None:
    """Generate clips, train a small model, export it, and score unseen clips with injected offsets.

    Training ends when the model decides enough held-out clips, or after three times --steps. An unfinished demo with
    the same settings is resumed, also after Ctrl-C and SIGTERM.
    """
    # A missing package ends the command before any work.
    for package in ("scipy", "torch", "onnx", "onnxscript"):
        importlib.import_module(package)
    prepare_threads()
    from rich.console import Console

    console = Console(stderr=True)
    settings = Settings(clips, test_clips, steps, seed)
    begin = time.monotonic()
    _claim(out, settings)
    with stopped_by_signals(GOES_ON) as check:
        with _stage(console, f"1/4 generating {clips} clips to train on and {test_clips} to score"):
            _generate(console, out, settings)
        check()
        title = f"2/4 training a small model for {steps} steps, or more if it has not learned enough then"
        with _stage(console, title):
            _train(console, out, settings)
        check()
        with _stage(console, "3/4 exporting, checking parity, calibrating on held-out clips"):
            bundle = _export(out)
        check()
        with _stage(console, f"4/4 scoring {test_clips} unseen clips with offsets in ±{MAX_OFFSET_MS:.0f} ms"):
            summary, rows = _score(out, bundle)
    _print_table(rows)
    _print_summary(out, summary, time.monotonic() - begin)


def _claim(out: Path, settings: Settings) -> None:
    """Accept a new folder or one with a demo of the same settings and version; raise ConfigError for any other."""
    from cavsync.atomic import require_new_folder, write_text_atomically
    from cavsync.data.synth.spec import GENERATOR_VERSION

    path = out / SETTINGS_NAME
    # With other clips or another model, the run that was begun could not go on.
    versions = {"cavsync": __version__, "generator": GENERATOR_VERSION}
    if path.is_file():
        stored = _stored(path)
        if any(stored.get(name) != value for name, value in asdict(settings).items()):
            raise ConfigError(f"{out} holds a demo with other settings: choose another --out, or delete it.")
        if any(stored.get(name) != value for name, value in versions.items()):
            raise ConfigError(
                f"{out} holds a demo of {_version_words(stored)}, with which {_version_words(versions)} cannot go on: "
                "choose another --out, or delete it."
            )
        return
    require_new_folder(out, "choose another --out, or a demo to resume")
    out.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, json.dumps(asdict(settings) | versions) + "\n")


def _stored(path: Path) -> dict[str, Any]:
    """Read a demo's settings; ConfigError for what is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} does not hold the settings of a demo: choose another --out, or delete the folder.")
    return found


def _version_words(versions: dict[str, Any]) -> str:
    # Demos of earlier versions do not name theirs.
    if "cavsync" not in versions:
        return "an earlier cavsync"
    return printable(f"cavsync {versions['cavsync']} (clip generator {versions.get('generator')})")


def _generate(console: Console, out: Path, settings: Settings) -> None:
    from cavsync.data.synth import count_voices, draw_specs, generate, voices_sentence

    sets = {
        "train": draw_specs(settings.clips, settings.seed),
        "test": draw_specs(settings.test_clips, settings.seed + HELD_OUT_SEED_STEP, max_offset_ms=MAX_OFFSET_MS),
    }
    truth = []
    for name, specs in sets.items():
        with counting_bar(f"{name} clips") as advance:
            truth += generate(out / "clips" / name, specs, overwrite=True, progress=advance)
    if sentence := voices_sentence(count_voices(truth), hints=True):
        _say(console, sentence)


def _train(console: Console, out: Path, settings: Settings) -> None:
    """Train in rounds until enough held-out files are decided; a resumed demo goes on in the round it was in."""
    from cavsync.run import RunFolder
    from cavsync.train import override, preset

    say = partial(_say, console)
    ends = rounds_left(settings.steps, max(RunFolder(out / "run").steps(), default=0))
    pace = Pace(ends, say)
    for end in ends:
        model, config = override(*preset("demo"), {"max_steps": end, "seed": settings.seed})
        result = run_training(
            console, model, config, [out / "clips" / "train"], out / "run", resume=True, on_step=pace.step
        )
        if result.signal_number is not None:
            end_by_signal(result.signal_number, f"stopped at step {result.state.step}; {GOES_ON}")
        share = _decided_share(out / "run")
        pace.end_round(result.state.elapsed_seconds / end)
        decided = f"{share:.0%} of the held-out files and parts of them are decided after {end} steps"
        if share >= DECIDED_SHARE:
            say(decided)
            return
        say(f"{decided}, {pace.going_on()}" if pace.ends else decided)
    say(f"this is less than {DECIDED_SHARE:.0%}: expect more clips to be undetermined")


def _decided_share(run_dir: Path) -> float:
    """Return the share of the files that the run holds out whose offset a bundle of it would trust."""
    from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint
    from cavsync.export.calibrate import calibrate
    from cavsync.run import Run

    _, bundle = bundle_of_checkpoint(run_dir)
    held_out = [Path(path) for path in Run.open(run_dir).held_out_clips()]
    with counting_bar("checking held-out clips") as advance:
        report = calibrate(bundle, held_out, progress=advance)
    return 0.0 if report is None else report.files.accepted_share


def _export(out: Path) -> Bundle:
    from cavsync.deploy import Bundle
    from cavsync.export import export_bundle

    export_bundle(
        out / "run",
        out / "bundle",
        name="demo",
        weights_licence="Apache-2.0 (trained on generated clips only)",
        overwrite=True,
    )
    return Bundle.open(out / "bundle")


def _score(out: Path, bundle: Bundle) -> tuple[dict[str, Any], list[OffsetRow]]:
    from cavsync.data.synth import read_truth
    from cavsync.deploy import FileScore
    from cavsync.deploy.sinks import jsonl_text, write_text_atomically
    from cavsync.deploy.sinks.html import html_text
    from cavsync.evaluate.sync.offset_rows import offset_row, summarise

    outcomes: list[Outcome] = []
    rows: list[OffsetRow] = []
    truths = read_truth(out / "clips" / "test")
    with counting_bar("scoring") as advance:
        for done, truth in enumerate(truths, start=1):
            path = out / "clips" / "test" / truth["file"]
            outcomes.append(_score_one(path, bundle))
            rows.append(offset_row(path, truth, outcomes[-1] if isinstance(outcomes[-1], FileScore) else None))
            advance(done, len(truths))
    summary = summarise(rows)
    write_text_atomically(out / "scores.jsonl", jsonl_text(outcomes))
    write_text_atomically(out / "report.html", html_text(outcomes))
    write_text_atomically(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    return summary, rows


def _score_one(path: Path, bundle: Bundle) -> Outcome:
    from cavsync.deploy import FileFailure, score_file
    from cavsync.errors import MediaError

    try:
        return score_file(path, bundle)
    except MediaError as error:
        return FileFailure(str(path), str(error))


def _print_table(rows: list[OffsetRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="True and estimated offsets in ms; > 0: the audio is early")
    for name in ("clip", "true", "estimated", "error", "confidence", "state", "within 120 ms", "motion baseline"):
        table.add_column(name, justify="left" if name in ("clip", "state") else "right")
    for row in rows:
        table.add_row(
            row.file,
            _number(row.true_offset_ms),
            _number(row.estimated_offset_ms),
            _number(row.error_ms),
            "-" if row.confidence is None else f"{row.confidence:.2f}",
            row.state,
            "yes" if row.within_120_ms else "no",
            _number(row.baseline_rise_ms),
        )
    # The width of piped output defaults to 80 columns, which would truncate the numbers.
    console = Console()
    Console(width=max(console.width, MIN_TABLE_COLUMNS)).print(table)


def _print_summary(out: Path, summary: dict[str, Any], seconds: float) -> None:
    baseline = summary["baseline_within_120_ms"]
    click.echo(f"clips scored                              {summary['n']}")
    click.echo(f"decided and within ±120 ms                {summary['within_120_ms']:.0%}")
    click.echo(f"median error                              {summary['median_error_ms']} ms")
    click.echo(f"not decided                               {summary['undetermined']:.0%}")
    click.echo("baseline, motion against audio            ", nl=False)
    click.echo(f"{baseline['motion_against_rise']:.0%} (rise), {baseline['motion_against_loudness']:.0%} (loudness)")
    click.echo(f"took                                      {seconds / 60:.1f} minutes")
    for name in ("clips", "run", "bundle", "scores.jsonl", "summary.json", "report.html"):
        click.echo(f"  {out / name}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0f}"


def _say(console: Console, line: str) -> None:
    console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    console.print(f"[bold]{title}[/bold]")
    begin = time.monotonic()
    yield
    console.print(f"    done in {time.monotonic() - begin:.0f} s")
