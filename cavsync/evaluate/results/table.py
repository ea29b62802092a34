"""A result on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from cavsync.evaluate.results.result import EvalResult, Table, shown
from cavsync.file_names import printable

MIN_WIDTH = 120


def print_result(result: EvalResult, console: Console | None = None) -> None:
    """Print the tables, or all metrics where there are none, then rejects and notes."""
    notes = list(result.notes)
    if result.rejects:
        notes.insert(0, f"{len(result.rejects)} left out, the first: {next(iter(result.rejects.values()))}")
    print_tables(result.tables or [metrics_table(result)], notes, console or Console())


def print_tables(tables: Sequence[Table], notes: Sequence[str], console: Console) -> None:
    """Print tables, then notes; where the terminal is narrow, lines wrap instead of columns being cut."""
    wide = Console(file=console.file, width=max(console.width, MIN_WIDTH), force_terminal=console.is_terminal)
    for table in tables:
        wide.print(rich_table(table))
    for note in notes:
        wide.print(f"note: {escape(printable(note))}")


def metrics_table(result: EvalResult) -> Table:
    """All metrics, one per row."""
    return Table(title=result.task, columns=["metric", "value"], rows=[[k, v] for k, v in result.metrics.items()])


def holds_numbers(table: Table, place: int) -> bool:
    """Whether the column at `place` is right-aligned."""
    return not all(isinstance(row[place], str) for row in table.rows)


def rich_table(table: Table) -> RichTable:
    """A rich table; markup in names is shown as text."""
    drawn = RichTable(title=escape(table.title), title_justify="left")
    for place, name in enumerate(table.columns):
        drawn.add_column(escape(name), justify="right" if holds_numbers(table, place) else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(escape(printable(shown(cell))) for cell in row))
    return drawn
