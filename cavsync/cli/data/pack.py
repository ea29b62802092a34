"""`cavsync data pack`: pack videos or CAV-MAE lists into tar shards."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.options import channels_option
from cavsync.cli.progress import counting_bar
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.data.faces.follow import OpenFinder
    from cavsync.data.shards.manifest import ShardManifest
    from cavsync.media.resample import ChannelRule


@click.command("pack")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the downloaded videos, if SRC is a .csv.")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), help="Keep this many frames per clip, spread evenly.")
@click.option("--fps", "frame_rate_hz", type=click.FloatRange(min=0), default=0.0,
              help="Keep this many frames per second.  [default: all]")  # fmt: skip
@click.option("--size", "short_side_px", type=click.IntRange(min=16), default=256, show_default=True,
              help="Short side of the frames in pixels; smaller frames are not enlarged.")  # fmt: skip
@click.option("--quality", "jpeg_quality", type=click.IntRange(1, 100), default=90, show_default=True,
              help="JPEG quality.")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Keep only the start of longer clips.")
@click.option("--faces", is_flag=True,
              help="Also keep the track of each clip's main face, for --preset sync-face; clips without a face are "
              "rejected.")  # fmt: skip
@channels_option
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name; clips with other labels are rejected.")  # fmt: skip
@click.option("--licence", default="", help="Licence recorded with every clip.")
@click.option("--shard-mb", "shard_megabytes", type=click.FloatRange(min=0, min_open=True), default=500.0,
              show_default=True, help="Approximate size of a shard, MB.")  # fmt: skip
@click.option(
    "--shard-clips", type=click.IntRange(min=1), help="Exact number of source clips per shard, instead of --shard-mb."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the order of the clips, which mixes them across shards.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of processes.")
def pack(source: Path, out: Path, media: Path | None, labels: Path | None, workers: int, **options: Any) -> None:
    """Pack SRC into WebDataset tars in the folder OUT.

    SRC is a folder of videos, a CAV-MAE .json of frames and audio, or a .csv: VGGSound's id,start,label,split or
    AudioSet's id,start,end,"labels", with the videos below --media. Clips that cannot be used are listed in
    OUT/rejects.jsonl. Repeating an interrupted command resumes it.
    """
    from cavsync.data.shards import PackOptions, read_vocabulary
    from cavsync.data.shards.pack import pack as pack_shards

    if options["frames"] is not None and options["frame_rate_hz"]:
        raise click.UsageError("--frames and --fps exclude each other.")
    # SIGTERM cleans up as Ctrl-C does.
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with counting_bar("packing clips") as progress:
            vocabulary = None if labels is None else read_vocabulary(labels)
            manifest = pack_shards(
                source,
                out,
                PackOptions(**{**options, "channels": options["channels"] or _own_channels(source)}),
                media=media,
                workers=workers,
                vocabulary=vocabulary,
                progress=progress,
                open_finder=_face_finder() if options["faces"] else None,
            )
    finally:
        signal.signal(signal.SIGTERM, earlier)
    _print(out, manifest)


def _own_channels(source: Path) -> ChannelRule | None:
    """Return how the audio of a list was made, None if it does not say so; of anything else, the default."""
    from cavsync.data.cav_mae_json import read_list

    is_list = source.suffix.lower() == ".json" and source.is_file()
    return read_list(source).channels if is_list else "mix"


def _face_finder() -> OpenFinder:
    """Return what opens a face finder. BundleError where this installation has none."""
    from cavsync.deploy.faces.graphs import default_folder, open_face_finder

    default_folder()
    return open_face_finder


def _print(out: Path, manifest: ShardManifest) -> None:
    megabytes = sum(shard.bytes for shard in manifest.shards) / 1e6
    shown = printable(str(out))
    click.echo(
        f"{manifest.clips} clips ({manifest.hours:.2f} hours) in {len(manifest.shards)} shards ({megabytes:.1f} MB) in "
        f"{shown}, {manifest.rejects} rejected"
    )
    for reason, count in manifest.reasons.most_common():
        click.echo(f"{count:6}  {reason}")
    if manifest.rejects:
        click.echo(f"rejects are listed in {shown}/rejects.jsonl")
