"""`--threads` and `--cores`: how much of the machine the model may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def thread_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--threads` and `--cores` to a command, as `threads: int | None` and `cores: tuple[int, ...] | None`."""
    # Eager: known by the time that the cores are compared with it.
    threads = click.option("--threads", type=click.IntRange(min=1), is_eager=True,
                           help="Threads for the model; all cores by default.")  # fmt: skip
    cores = click.option("--cores", metavar="N,N...", callback=_cores,
                         help="Keep the model on these cores, counted from 0, one thread each (Linux).")  # fmt: skip
    return threads(cores(command))


def _cores(context: click.Context, _: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    from cavsync.deploy.runtime.cores import threads_on
    from cavsync.errors import ConfigError

    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is no list of cores: write numbers with commas between them, as in 0,1.")
    cores = tuple(int(part) for part in parts)
    try:
        threads_on(cores, context.params.get("threads"))
    except ConfigError as error:
        raise click.BadParameter(f"{error}.") from None
    return cores
