"""`cavsync eval compare`: compare two results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("compare")
@click.argument("first", metavar="A.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Compare two results of one task: every metric with its difference, and every other difference.

    "Better" and "worse" mean that the 95 % intervals of the two values do not overlap. "Higher" and "lower" mean that
    they overlap or that one is unknown, so the difference may be chance, or that neither direction of the metric is
    better. "Measured differently" means that data or protocol differ, so neither value is better, and equal values
    mean little.
    """
    from rich.console import Console

    from cavsync.evaluate.results.compare import compare_results
    from cavsync.evaluate.results.result import read_result
    from cavsync.evaluate.results.table import print_tables

    found = compare_results(read_result(first), read_result(second))
    print_tables(found.tables, found.notes, Console())
