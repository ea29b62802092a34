"""`--threads` and `--cores`: the CPU threads and cores of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def thread_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--threads` and `--cores` to a command, as `threads: int | None` and `cores: tuple[int, ...] | None`."""
    # Eager: parsed before --cores, whose callback compares the two.
    threads = click.option("--threads", type=click.IntRange(min=1), is_eager=True,
                           help="Threads for the model; by default one per core.")  # fmt: skip
    cores = click.option("--cores", metavar="N,N...", callback=_cores,
                         help="Run the model on these cores only, counted from 0, "
                         "one thread each (Linux).")  # fmt: skip
    return threads(cores(command))


def _cores(context: click.Context, _: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    from cavsync.deploy.runtime.cores import threads_on
    from cavsync.errors import ConfigError

    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of cores: give numbers separated by commas, such as 0,1.")
    cores = tuple(int(part) for part in parts)
    try:
        threads_on(cores, context.params.get("threads"))
    except ConfigError as error:
        raise click.BadParameter(f"{error}.") from None
    return cores
