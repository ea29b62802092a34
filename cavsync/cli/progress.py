"""A progress bar on stderr for work on one media file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cavsync.deploy.files.score_file import Progress

REFRESH_SECONDS = 0.2


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """A bar that disappears when the file is done; nothing where stderr is no terminal.

    Yields the function to call with the seconds done and the seconds declared.
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
        task = bar.add_task(escape(description), total=None)
        due = 0.0

        def on_progress(done_seconds: float, declared_seconds: float | None) -> None:
            nonlocal due
            if monotonic() >= due:
                due = monotonic() + REFRESH_SECONDS
                bar.update(task, completed=done_seconds, total=declared_seconds)

        yield on_progress
