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
TIME_LEFT_SECONDS = 60.0
"""Time between two lines on long work, which say how long it still takes."""
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


def time_left_lines() -> Callable[[float], str]:
    """Return a function to call with the share of the work that is done, which says how long the rest takes.

    It returns "" except once per TIME_LEFT_SECONDS. Work may begin with a share that was done before.
    """
    from time import monotonic

    begin: tuple[float, float] | None = None
    due_seconds = 0.0

    def time_left(share: float) -> str:
        nonlocal begin, due_seconds
        now = monotonic()
        if begin is None:
            begin, due_seconds = (now, share), now + TIME_LEFT_SECONDS
        begin_seconds, begin_share = begin
        if now < due_seconds or share <= begin_share:
            return ""
        due_seconds = now + TIME_LEFT_SECONDS
        left_seconds = (now - begin_seconds) * (1 - share) / (share - begin_share)
        return f"about {max(1, round(left_seconds / 60))} min left"

    return time_left


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
