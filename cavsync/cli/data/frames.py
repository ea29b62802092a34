"""`cavsync data frames`: a folder of labelled videos in the layout of CAV-MAE's lists."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("frames")
@click.argument("source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--frames", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip: 10 for CAV-MAE, 16 for CAV-MAE Sync.")  # fmt: skip
@click.option("--size", "img_size", type=click.IntRange(min=16), default=224, show_default=True,
              help="Side of the frames, cut from the middle.")  # fmt: skip
def frames(source: Path, out: Path, frames: int, img_size: int) -> None:
    """Write the videos of SRC, labelled by its labels.csv, as frames and sounds that OUT/list.json lists.

    That is the layout that the public code of CAV-MAE and CAV-MAE Sync reads, with OUT/class_labels.csv as its label
    CSV; `cavsync train`, `eval` and `data pack` read it, too.
    """
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.data.sources.write_cav_mae_list import write_cav_mae_list

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("extracting frames", total=None)
        rejects = write_cav_mae_list(
            source, out, frames=frames, img_size=img_size,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    for sentence in rejects.sentences.values():
        click.echo(f"rejected: {sentence}", err=True)
    click.echo(f"{out / 'list.json'} and {out / 'class_labels.csv'}")
