"""A result on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from cavsync.evaluate.result import EvalResult, Table, shown

MIN_WIDTH = 110


def print_result(result: EvalResult, console: Console | None = None) -> None:
    """Print the tables, or all metrics where there are none, then what was left out and what must be known."""
    found = console or Console()
    console = Console(file=found.file, width=max(found.width, MIN_WIDTH), force_terminal=found.is_terminal)
    tables = result.tables or [metrics_table(result)]
    for table in tables:
        console.print(rich_table(table))
    if result.rejects:
        console.print(f"{len(result.rejects)} left out: {escape(next(iter(result.rejects.values())))}")
    for note in result.notes:
        console.print(f"note: {escape(note)}")


def metrics_table(result: EvalResult) -> Table:
    """All metrics, one per row."""
    return Table(title=result.task, columns=["metric", "value"], rows=[[k, v] for k, v in result.metrics.items()])


def holds_numbers(table: Table, place: int) -> bool:
    """Whether the column at `place` is to be right-aligned."""
    return not all(isinstance(row[place], str) for row in table.rows)


def rich_table(table: Table) -> RichTable:
    """The table as rich draws it; markup in names is shown, not obeyed."""
    drawn = RichTable(title=escape(table.title), title_justify="left")
    for place, name in enumerate(table.columns):
        drawn.add_column(escape(name), justify="right" if holds_numbers(table, place) else "left")
    for row in table.rows:
        drawn.add_row(*(escape(shown(cell)) for cell in row))
    return drawn
