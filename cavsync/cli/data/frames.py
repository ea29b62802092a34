"""`cavsync data frames`: extract labelled videos into the layout of CAV-MAE's lists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.options import channels_of_videos_option
from cavsync.cli.progress import counting_bar
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.media.resample import ChannelRule


@click.command("frames")
@click.argument("source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--frames", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip: 10 for CAV-MAE, 16 for CAV-MAE Sync.")  # fmt: skip
@click.option("--size", "img_size", type=click.IntRange(min=16), default=224, show_default=True,
              help="Side of the frames in pixels, cropped at the centre.")  # fmt: skip
@channels_of_videos_option
def frames(source: Path, out: Path, frames: int, img_size: int, channels: ChannelRule | None) -> None:
    """Extract frames and audio of the videos in SRC, labelled by its labels.csv, and list them in OUT/list.json.

    The public code of CAV-MAE and CAV-MAE Sync reads this layout, with OUT/class_labels.csv as its label CSV; so do
    `cavsync train`, `cavsync eval` and `cavsync data pack`.
    """
    from cavsync.data.sources.write_cav_mae_list import write_cav_mae_list

    with counting_bar("extracting frames") as progress:
        rejects = write_cav_mae_list(
            source, out, frames=frames, img_size=img_size, channels=channels or "mix", progress=progress
        )
    for sentence in rejects.sentences.values():
        click.echo(printable(f"rejected: {sentence}"), err=True)
    click.echo(printable(f"{out / 'list.json'} and {out / 'class_labels.csv'}"))
