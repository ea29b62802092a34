"""`cavsync eval sync`: what a bundle knows about time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.options import key_values

if TYPE_CHECKING:
    from rich.table import Table


@click.command("sync")
@click.argument("folder", metavar="DATA", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--bundle", "bundles", multiple=True, required=True, type=click.Path(path_type=Path),
              help="Bundle to test; several are tested side by side.")  # fmt: skip
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", callback=key_values,
              help="Take the clips with this value in DATA/manifest.csv, such as kind=speech.")  # fmt: skip
@click.option("--offsets", "offsets_per_clip", type=click.IntRange(min=1), default=3, show_default=True,
              help="Injected offsets per clip.")  # fmt: skip
@click.option("--max-offset-ms", type=click.FloatRange(min=1), default=800.0, show_default=True,
              help="Offsets are drawn uniformly in ± this.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "json_out", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures here.")
def sync(
    folder: Path,
    bundles: tuple[Path, ...],
    only: dict[str, Any],
    offsets_per_clip: int,
    max_offset_ms: float,
    seed: int,
    json_out: Path | None,
) -> None:
    """Test bundles on clips whose true offset is known, or that are in sync: how near injected offsets are found, and
    which of two, the clip or the clip with its sound shifted, is taken to be in sync.

    Shares come with 95 % intervals; motion energy against loudness, which learns nothing, stands beside them.
    """
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.deploy import Bundle
    from cavsync.errors import DataError
    from cavsync.evaluate.sync import evaluate_sync
    from cavsync.evaluate.sync_cases import sync_cases
    from cavsync.evaluate.sync_report import sync_report

    cases = sync_cases(folder, {key: str(value) for key, value in only.items()})
    opened = {_name(path, bundles): Bundle.open(path) for path in bundles}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("testing clips", total=len(cases))
        result = evaluate_sync(
            opened,
            cases,
            offsets_per_clip=offsets_per_clip,
            max_offset_ms=max_offset_ms,
            seed=seed,
            progress=lambda done, _total: progress.update(task, completed=done),
        )
    for error in result.rejects.values():
        click.echo(f"rejected: {error}", err=True)
    if not result.clips:
        raise DataError(f"No clip of {folder} could be tested: see `cavsync data check {folder}`.")
    report = sync_report(result)
    if json_out is not None:
        from cavsync.atomic import write_text_atomically

        write_text_atomically(json_out, json.dumps(report, indent=1) + "\n")
    console = Console()
    console = Console(width=max(console.width, 110))
    for kind, content in report["kinds"].items():
        console.print(_table(kind, content, report["shifts_ms"]))


def _name(path: Path, bundles: tuple[Path, ...]) -> str:
    """The folder's own name where that tells the bundles apart, else the whole path."""
    same = [other for other in bundles if other.resolve().name == path.resolve().name]
    return path.resolve().name if len(same) == 1 else str(path)


def _table(kind: str, content: dict[str, Any], shifts_ms: list[float]) -> Table:
    from rich.table import Table

    table = Table(title=f"{kind}: {content['clips']} clips; shares in % with 95 % intervals", title_justify="left")
    table.add_column("")
    for name in ("≤ 1 frame", "≤ 100 ms", "median error", "decided", *(f"{shift:.0f} ms" for shift in shifts_ms)):
        table.add_column(name, justify="right")
    for name, found in content["methods"].items():
        median = found["median_error_ms"]
        shares = [_percent(found[key]) for key in ("within_one_frame", "within_100_ms")]
        choices = [_percent(share) for share in found["two_choice"].values()]
        table.add_row(
            name, *shares, "-" if median is None else f"{median:.0f} ms", _percent(found["decided"]), *choices
        )
    return table


def _percent(share: dict[str, Any]) -> str:
    if share["mean"] is None:
        return "-"
    if share["low"] is None:
        return f"{100 * share['mean']:.0f}"
    return f"{100 * share['mean']:.0f} ({100 * share['low']:.0f}-{100 * share['high']:.0f})"
