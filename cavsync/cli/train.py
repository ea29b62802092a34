"""`cavsync train`: train with a preset on a data set, into a run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import end_by_signal
from cavsync.cli.options import key_values
from cavsync.cli.progress import time_left_lines
from cavsync.cli.train_explain import explain_options, show_explanation

if TYPE_CHECKING:
    from rich.console import Console

    from cavsync.train import RunResult, TrainConfig
    from cavsync.train.recipes import AnyModelConfig


@click.command("train")
@click.option("--preset", "preset_name", help="Name of the preset; an unknown name lists them all.")
@click.option("--data", "data_paths", multiple=True, type=click.Path(path_type=Path),
              help="Folder of shards or of videos, or a CAV-MAE JSON file. May be repeated: "
              "the sets are joined.")  # fmt: skip
@click.option("--held-out", "held_out", multiple=True, type=click.Path(path_type=Path),
              help="Clips to evaluate on and never to train on; by default a share of --data. "
              "May be repeated.")  # fmt: skip
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name of the classes; by default all labels of the clips.")  # fmt: skip
@click.option("--out", "run_dir", type=click.Path(path_type=Path), help="Run folder; absent or empty.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Change an option of the preset's model or training, such as batch_clips=8. "
              "May be repeated.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Resume from the last checkpoint of --out.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after this many steps in total.")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after this many minutes.")
@explain_options
def train(
    preset_name: str | None,
    data_paths: tuple[Path, ...],
    held_out: tuple[Path, ...],
    labels: Path | None,
    run_dir: Path | None,
    values: dict[str, Any],
    resume: bool,
    max_steps: int | None,
    max_minutes: float | None,
    explained: str | None,
    **explain_values: Any,
) -> None:
    """Pretrain a model on clips, or train a classifier by fine-tuning or probing (--preset finetune-... or probe).

    With --set validate_every_epochs=N or validate_every_steps=N the held-out clips are measured during the run, the
    best weights so far are kept in OUT/checkpoints/best, and early_stop_patience=M ends it after M measurements in a
    row without an improvement.

    Ctrl-C and SIGTERM write a checkpoint and stop; --resume continues from it with the same data and the same losses.
    """
    prepare_threads()
    from rich.console import Console

    from cavsync.run import RunFolder
    from cavsync.train import override, preset
    from cavsync.train.tasks.starting_model import with_starting_model

    limits = {"max_steps": max_steps, "max_minutes": max_minutes}
    values |= {key: value for key, value in limits.items() if value is not None}
    if explained is not None:
        show_explanation(explained, values, **explain_values)
        return
    if preset_name is None or run_dir is None or not data_paths:
        given = {"--preset": preset_name, "--data": data_paths, "--out": run_dir}
        missing = [name for name, value in given.items() if not value]
        raise click.UsageError(
            f"Training also needs {' and '.join(missing)}; --explain PRESET describes a run without them."
            if len(missing) < len(given)
            else "Training needs --preset, --data and --out; --explain PRESET describes a run without them."
        )
    recipe = preset(preset_name)
    if labels is not None:
        if recipe[1].classify is None:
            raise click.UsageError(f"--labels names classes, but '{preset_name}' pretrains: use finetune-... or probe.")
        values["class_labels"] = str(labels)
    model_config, config = override(*with_starting_model(recipe, values, run_dir), values)
    console = Console(stderr=True)
    result = run_training(console, model_config, config, data_paths, run_dir, held_out=held_out, resume=resume)
    if result.signal_number is not None:
        end_by_signal(result.signal_number, f"stopped at step {result.state.step}; --resume continues from there")
    if result.is_early and result.is_main:
        click.echo(
            f"ended early at step {result.state.step}: {result.state.not_better} measurements in a row were no better "
            f"than that of step {result.state.best_step}, which is {RunFolder(run_dir).best.path}",
            err=True,
        )
    for name, value in result.metrics.items() if result.is_main else ():
        click.echo(f"{name:22} {value:.6g}")


def prepare_threads() -> None:
    """Let idle OpenMP threads sleep: spinning ones slow down other processes. Call this before torch is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run_training(
    console: Console,
    model_config: AnyModelConfig,
    config: TrainConfig,
    data_paths: Sequence[Path],
    run_dir: Path,
    *,
    held_out: Sequence[Path] = (),
    resume: bool,
    on_step: Callable[[int], None] = lambda _: None,
) -> RunResult:
    """Train with a progress bar on `console`; `on_step` is called with the number of each step that was made."""
    from cavsync.deploy.faces.graphs import open_face_finder
    from cavsync.train import Trainer

    what = "decoding clips" if config.face is None else "following faces"
    with training_progress(console, what) as (load, step):

        def report(number: int, *rest: Any) -> None:
            step(number, *rest)
            on_step(number)

        options: dict[str, Any] = {"report": report, "on_load": load, "open_finder": open_face_finder}
        options["say"] = lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)
        trainer = Trainer(model_config, config, run_dir, **options)
        return trainer.run(*data_paths, held_out=held_out, resume=resume)


@contextmanager
def training_progress(console: Console, what: str) -> Iterator[tuple[Any, Any]]:
    """Show bars; where `console` is no terminal, a line about the training from time to time, then the bars' end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        loading = progress.add_task(what, total=None, note="", visible=False)
        training = progress.add_task("training", total=1.0, note="", visible=False)

        def on_load(done: int, total: int) -> None:
            progress.update(loading, completed=done, total=total, note=f"{done}/{total}", visible=True)

        def on_step(step: int, num_steps: int, share: float, metrics: dict[str, float]) -> None:
            note = f"step {step}/{num_steps}  loss {metrics.get('loss', float('nan')):.3f}"
            progress.update(training, completed=share, note=note, visible=True)
            if not console.is_terminal and (left := time_left(share)):
                console.print(f"training: {note}  {left}", markup=False, highlight=False, soft_wrap=True)

        time_left = time_left_lines()
        yield on_load, on_step
