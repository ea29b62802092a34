"""Progress on stderr: bars if it is a terminal, otherwise occasional lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.deploy.files.score_file import Progress

REFRESH_SECONDS = 0.2
LINE_SECONDS = 15.0
"""Time between two lines where stderr is no terminal; short work is silent."""
Count = Callable[[int, int], None]


@contextmanager
def counting_bar(description: str) -> Iterator[Count]:
    """Show how many clips are done. Yields a function to call with how many are done and how many there are."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        due = monotonic() + LINE_SECONDS

        def count(done: int, total: int) -> None:
            nonlocal due
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and monotonic() >= due:
                due = monotonic() + LINE_SECONDS
                click.echo(f"{description}: {done} of {total}", err=True)

        yield count


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """Show a bar until the file is done; nothing if stderr is not a terminal.

    Yields a function to call with the seconds done and the declared duration in seconds.
    """
    from time import monotonic

    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} s"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(printable(description)), total=None)
        due = 0.0

        def on_progress(done_seconds: float, declared_seconds: float | None) -> None:
            nonlocal due
            if monotonic() >= due:
                due = monotonic() + REFRESH_SECONDS
                bar.update(task, completed=done_seconds, total=declared_seconds)

        yield on_progress
