"""`cavsync train --explain PRESET`: describe a run without starting it, as tables or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from cavsync.train.explain import Explanation, Option, Schedule

GIGA = 1e9
MILLION = 1e6
MAX_EPOCH_ROWS = 12
PIPE_WIDTH = 200

_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option("--explain", "explained", metavar="PRESET",
                 help="Describe a run (options, sizes, costs, time) without starting it."),
    click.option("--gpus", type=click.IntRange(min=1),
                 help="With --explain: number of GPUs; by default as configured."),
    click.option("--clips", type=click.IntRange(min=1),
                 help="With --explain: number of clips in the data set; by default that of VGGSound."),
    click.option("--utilisation", type=click.FloatRange(0, 1, min_open=True),
                 help="With --explain: assumed share of the peak rate; by default 0.35."),
    click.option("--json", "as_json", is_flag=True, help="With --explain: print JSON."),
)  # fmt: skip


def explain_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --explain and the options that belong to it: explained, gpus, clips, utilisation, as_json."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def show_explanation(
    preset_name: str,
    values: dict[str, Any],
    *,
    gpus: int | None = None,
    clips: int | None = None,
    utilisation: float | None = None,
    as_json: bool = False,
) -> None:
    """Print a description of training `preset_name` with the changed options `values` on standard output."""
    from rich.console import Console

    from cavsync.train import override, preset
    from cavsync.train.explain import explain

    given = {"clips": clips, "utilisation": utilisation}
    stated: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    found = explain(*override(*preset(preset_name), values), gpus, **stated)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
        return
    console = Console()
    # Without a terminal, one line per option.
    print_explanation(console if console.is_terminal else Console(width=PIPE_WIDTH), found)


def print_explanation(console: Console, found: Explanation) -> None:
    """Print the tables, then the notes and the caveat."""
    _print_options(console, "model", found.model)
    _print_options(console, "training", found.train)
    _print_parts(console, found)
    _print_memory(console, found)
    _print_schedule(console, found.schedule)
    _print_times(console, found)
    for note in (*found.notes, found.caveat):
        console.print(f"- {note}", markup=False, highlight=False)


def _print_options(console: Console, title: str, options: tuple[Option, ...]) -> None:
    from rich.table import Table

    table = Table(title=f"Options of the {title} (* differs from the default)", box=None, pad_edge=False)
    for column in ("", "option", "value", "default", "meaning"):
        table.add_column(column, no_wrap=column == "option", overflow="fold")
    for option in options:
        changed = ("*", _text(option.default)) if option.differs else ("", "")
        table.add_row(
            *(changed[0], option.name, _text(option.value), changed[1], option.meaning.partition(". ")[0].rstrip(".")),
            style="bold" if option.differs else None,
        )
    console.print(table)


def _print_parts(console: Console, found: Explanation) -> None:
    from rich.table import Table

    table = Table("part", "parameters (M)", "trained (M)", "forward (GFLOP per pair)", title="Sizes and costs")
    costs = found.costs
    flops = {"audio": costs.audio, "visual": costs.visual, "joint": costs.joint, "decoder": costs.decoder}
    for part, count in found.parameters.items():
        table.add_row(part, _millions(count.total), _millions(count.trained), f"{flops[part] / GIGA:.2f}")
    total = sum(count.total for count in found.parameters.values())
    trained = sum(count.trained for count in found.parameters.values())
    table.add_section()
    table.add_row("all", _millions(total), _millions(trained), f"{costs.forward / GIGA:.2f}")
    if costs.teacher:
        table.add_row("teacher, unmasked", "", "", f"{costs.teacher / GIGA:.2f}")
    table.add_row("training step", "", "", f"{costs.training / GIGA:.2f}")
    both = costs.embedding_audio + costs.embedding_visual
    sides = f"{costs.embedding_audio / GIGA:.2f} + {costs.embedding_visual / GIGA:.2f}"
    table.add_row("scoring, unmasked", "", "", f"{both / GIGA:.2f} (audio and video: {sides})")
    console.print(table)


def _print_memory(console: Console, found: Explanation) -> None:
    from rich.table import Table

    memory = found.memory
    columns = ("weights", "gradients", "optimizer", "average", "teacher", "in all")
    table = Table(*columns, title="GB on each GPU, without activations")
    sizes = (memory.weights, memory.gradients, memory.optimizer, memory.average, memory.teacher, memory.total)
    table.add_row(*(f"{size / GIGA:.2f}" for size in sizes))
    console.print(table)


def _print_schedule(console: Console, schedule: Schedule) -> None:
    from rich.table import Table

    table = Table("epoch", "from step", "learning rate", "at its end", title=f"{schedule.steps:,} steps")
    every = -(-len(schedule.epochs) // MAX_EPOCH_ROWS) if len(schedule.epochs) > 3 * MAX_EPOCH_ROWS else 1
    for row in (*schedule.epochs[:-1:every], *schedule.epochs[-1:]):
        table.add_row(str(row.epoch), f"{row.first_step:,}", f"{row.first_rate:.3g}", f"{row.last_rate:.3g}")
    console.print(table)
    console.print(
        f"{schedule.clips:,} clips, {schedule.held_out_clips:,} of them held out; {schedule.batch_clips} clips or "
        f"{schedule.pairs_per_step} pairs a step; {schedule.steps_per_epoch:,.1f} steps an epoch; "
        f"{schedule.pairs:,} pairs in all",
        highlight=False,
    )


def _print_times(console: Console, found: Explanation) -> None:
    from rich.table import Table

    title = f"Estimated time on {found.gpus} GPU{'s' if found.gpus > 1 else ''} at {found.utilisation:.0%} of the peak"
    table = Table("GPU", "peak, dense bf16 (TFLOP/s)", "hours", title=title)
    for time in found.times:
        hours = f"{time.hours:,.2f}" if time.hours >= 1 else f"{time.hours:.2g}"
        table.add_row(time.gpu, f"{time.peak_tflops:g}", hours)
    console.print(table)


def _millions(count: int) -> str:
    return f"{count / MILLION:.2f}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
