"""`cavsync eval compare`: compare two results."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("compare")
@click.argument("first", metavar="A.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Compare two results of one task: every metric with its difference, and every other difference.

    The 95 % intervals decide: "better" and "worse" mean that those of the two values lie apart; "higher" and "lower"
    that they overlap or that one is not known, so that chance may explain the difference, or that the metric has no
    good direction. "Measured differently": data or protocol differ, so that neither value is better and equal values
    mean little.
    """
    from rich.console import Console

    from cavsync.evaluate.results.compare import compare_results
    from cavsync.evaluate.results.result import read_result
    from cavsync.evaluate.results.table import print_tables

    found = compare_results(read_result(first), read_result(second))
    print_tables(found.tables, found.notes, Console())
