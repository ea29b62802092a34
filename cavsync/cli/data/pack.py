"""`cavsync data pack`: videos, or CAV-MAE's lists, into tar shards."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cavsync.data.shards.manifest import ShardManifest


@click.command("pack")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the downloaded videos, where SRC is a .csv.")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), help="Keep this many frames per clip, spread evenly.")
@click.option("--fps", "frame_rate_hz", type=click.FloatRange(min=0), default=0.0,
              help="Keep frames at this rate.  [default: all of them]")  # fmt: skip
@click.option("--size", "short_side_px", type=click.IntRange(min=16), default=256, show_default=True,
              help="Short side of the frames; smaller ones stay as they are.")  # fmt: skip
@click.option("--quality", "jpeg_quality", type=click.IntRange(1, 100), default=90, show_default=True,
              help="JPEG quality.")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Keep only the start of longer clips.")
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name; clips with other labels are rejected.")  # fmt: skip
@click.option("--licence", default="", help="Noted with every clip.")
@click.option("--shard-mb", "shard_megabytes", type=click.FloatRange(min=0, min_open=True), default=500.0,
              show_default=True, help="About this size per shard.")  # fmt: skip
@click.option("--shard-clips", type=click.IntRange(min=1), help="Exactly this many source clips per shard instead.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Order of the clips: shards hold a mixture.")  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes that work at once."
)
def pack(source: Path, out: Path, media: Path | None, labels: Path | None, workers: int, **options: Any) -> None:
    """Pack SRC into WebDataset tars in the folder OUT.

    SRC is a folder of videos, a CAV-MAE .json of frames and sounds, or a .csv: VGGSound's id,start,label,split or
    AudioSet's id,start,end,"labels", with the videos below --media. Clips that cannot be used are listed in
    OUT/rejects.jsonl. The same command goes on where an earlier one was interrupted.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from cavsync.data.shards import PackOptions, read_vocabulary
    from cavsync.data.shards.pack import pack as pack_shards

    if options["frames"] is not None and options["frame_rate_hz"]:
        raise click.UsageError("--frames and --fps exclude each other.")
    # A terminated pack cleans up like an interrupted one.
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("packing clips", total=None)
            manifest = pack_shards(
                source, out, PackOptions(**options), media=media, workers=workers,
                vocabulary=None if labels is None else read_vocabulary(labels),
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, earlier)
    _print(out, manifest)


def _print(out: Path, manifest: ShardManifest) -> None:
    megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
    click.echo(
        f"{manifest.clips} clips ({manifest.hours:.2f} hours) in {len(manifest.shards)} shards ({megabytes:.1f} MB) in "
        f"{out}, {manifest.rejects} rejected"
    )
    for reason, count in manifest.reasons.most_common():
        click.echo(f"{count:6}  {reason}")
    if manifest.rejects:
        click.echo(f"each of them: {out / 'rejects.jsonl'}")
