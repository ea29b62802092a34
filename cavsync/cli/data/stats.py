"""`cavsync data stats`: measure the mean and standard deviation of the log-mel."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cavsync.cli.progress import counting_bar


@click.command("stats")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--frames-per-clip", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip that a CAV-MAE JSON must hold.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of processes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def stats(source: Path, frames_per_clip: int, workers: int, as_json: bool) -> None:
    """Measure the mean and standard deviation of the log-mel of SRC, a folder of videos or shards, or a CAV-MAE JSON.

    Models see (x + 5.081) / 4.4849, by the statistics of AudioSet; inspect data whose own statistics differ much.
    """
    from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
    from cavsync.data.sources.clips import open_source
    from cavsync.data.stats import feature_stats

    opened = open_source(source, frames_per_clip=frames_per_clip, segment_frames=1)
    with counting_bar("reading clips") as progress:
        found = feature_stats(opened, workers=workers, progress=progress)
    mean, std = found.moments.mean, found.moments.std
    rejected = sum(found.rejects.values())
    if as_json:
        click.echo(json.dumps({"mean": mean, "std": std, "clips": found.clips, "rejected": rejected}))
        return
    click.echo(f"log-mel of {found.clips} clips ({rejected} rejected): mean {mean:.4f}, standard deviation {std:.4f}")
    click.echo(f"models normalise with mean {AUDIO_MEAN} and standard deviation {AUDIO_STD}")
