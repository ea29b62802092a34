"""`cavsync export`: a run becomes a bundle that scores without torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cavsync.export.parity import OutputParity
    from cavsync.export.storage import Storage
    from cavsync.manifest import Manifest


@click.command("export")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the bundle; absent or empty.")
@click.option("--precision", type=click.Choice(["fp32"]), default="fp32", show_default=True)
@click.option("--step", type=click.IntRange(min=0), help="Checkpoint to export; the last one by default.")
@click.option("--calibration", metavar="FOLDER|none",
              help="Clips to calibrate on; by default those that the run held out.")  # fmt: skip
@click.option("--name", help="Name of the bundle; the run's by default.")
@click.option("--weights-licence", default="not stated", show_default=True, help="Licence of the weights.")
@click.option("--storage", type=click.Choice(["float32", "half", "int8"]), default="float32", show_default=True,
              help="How weights lie on the disk; arithmetic is as --precision says.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is already there.")
def export(
    run: Path,
    out: Path,
    precision: str,
    step: int | None,
    calibration: str | None,
    name: str | None,
    weights_licence: str,
    storage: Storage,
    overwrite: bool,
) -> None:
    """Export the encoders of RUN to ONNX, check that they compute the same, and calibrate the confidence.

    The bundle appears only if all of it succeeded.
    """
    from rich.console import Console

    from cavsync.export import export_bundle

    console = Console(stderr=True)
    begin = time.monotonic()
    manifest, parity = export_bundle(
        run,
        out,
        precision=precision,
        step=step,
        calibration_clips=_clips(calibration),
        name=name,
        weights_licence=weights_licence,
        storage=storage,
        overwrite=overwrite,
        on_stage=lambda text: console.print(f"{time.monotonic() - begin:6.1f} s  {text}"),
    )
    _print(manifest, parity)
    click.echo(f"wrote {out}")


def _clips(calibration: str | None) -> list[Path] | None:
    from cavsync.errors import DataError
    from cavsync.media.files import find_media

    if calibration is None:
        return None
    if calibration == "none":
        return []
    found = find_media(Path(calibration))
    if not found:
        raise DataError(f"{calibration} holds no media file to calibrate on: give a folder of videos, or none")
    return found


def _print(manifest: Manifest, parity: list[OutputParity]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Parity with the PyTorch model")
    for column in ("graph", "output", "largest error", "relative", "cosine", "batch 1 against N"):
        table.add_column(column)
    for row in parity:
        table.add_row(
            row.graph,
            row.output,
            f"{row.max_abs_error:.2e}",
            f"{row.relative_error:.2e}",
            f"{row.cosine:.7f}",
            f"{row.batch_error:.2e}",
        )
    Console().print(table)
    found = manifest.calibration
    if found is None:
        click.echo("not calibrated: every decision will be undetermined")
    else:
        click.echo(
            f"calibrated on {found.num_windows} windows of {found.num_clips} clips: "
            f"resolution {found.resolution_ms:.0f} ms, threshold {found.threshold:.2f}"
        )
