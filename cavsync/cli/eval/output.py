"""Output of every `cavsync eval` command: tables on the terminal, JSON and an HTML page on request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cavsync.evaluate.results.result import EvalResult


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --json and --html, as `json_out` and `html_out`."""
    file = click.Path(dir_okay=False, path_type=Path)
    command = click.option("--html", "html_out", type=file, help="Write a page with tables and plots here.")(command)
    return click.option(
        "--json", "json_out", type=file, help="Write the result here as JSON, for `cavsync eval compare`."
    )(command)


def segments_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --segments."""
    return click.option(
        "--segments",
        type=click.Choice(["by-time", "published"]),
        default="by-time",
        show_default=True,
        help="Audio of a frame: around its time, or by its number as in the public code of CAV-MAE and CAV-MAE Sync, "
        "to compare with published tables.",
    )(command)


def check_outputs(json_out: Path | None, html_out: Path | None) -> None:
    """Raise ConfigError before any work is done if one of the files cannot be written, or is a media file."""
    from cavsync.atomic import check_writable
    from cavsync.cli.result_files import require_result_files

    for path in (json_out, html_out):
        if path is not None:
            check_writable(path)
    require_result_files([json_out, html_out])


def deliver(result: EvalResult, json_out: Path | None, html_out: Path | None, pictures: Path | None = None) -> None:
    """Write the files asked for and print the tables; `pictures` is the folder of the result's images."""
    from cavsync.evaluate.results.page import write_page
    from cavsync.evaluate.results.table import print_result

    if json_out is not None:
        result.write(json_out)
    if html_out is not None:
        write_page(result, html_out, pictures)
    print_result(result)
