"""`cavsync eval retrieval`: retrieve audio by frames, and frames by audio."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import result_options, segments_option
from cavsync.cli.options import channels_option, key_values
from cavsync.cli.progress import counting_bar

if TYPE_CHECKING:
    from cavsync.data.sampling import SegmentRule
    from cavsync.media.resample import ChannelRule

SIMILARITIES = ("diagonal-mean", "diagonal-max", "full-mean", "full-max", "single-frame")


@click.command("retrieval")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/NAME, an authors' .pth, or a BUNDLE.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the videos that a .csv lists.")  # fmt: skip
@click.option("--split", help="Split of a VGGSound .csv to use, such as test.")
@click.option("--list", "only", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CAV-MAE JSON that selects clips by video_id, such as the published five per class.")  # fmt: skip
@click.option("--per-class", type=click.IntRange(min=1), help="Draw this many clips of each class of a .csv or .json.")
@click.option("--frames", type=click.IntRange(min=1),
              help="Frames per clip; by default 16, or as many as a CAV-MAE JSON has.")  # fmt: skip
@segments_option
@channels_option
@click.option("--similarity", "kinds", multiple=True, type=click.Choice(SIMILARITIES),
              help="Similarity of two clips. May be repeated; by default all.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True,
              help="Batch size of the encoders.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Device of a PyTorch model, such as cuda.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for cached embeddings; by default below ~/.cache.")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Do not cache embeddings.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of drawn clips and of the intervals.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12. Also for runs: "
              "chain_joint_blocks=true, as in published tables of models with several joint blocks.")  # fmt: skip
@result_options
def retrieval(
    data: Path,
    model: Path,
    media: Path | None,
    split: str | None,
    only: Path | None,
    per_class: int | None,
    frames: int | None,
    segments: SegmentRule,
    channels: ChannelRule | None,
    kinds: tuple[str, ...],
    batch_size: int,
    device: str,
    cache: Path | None,
    no_cache: bool,
    seed: int,
    overrides: dict[str, Any],
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Retrieve each clip's audio by its frames, and its frames by its audio, among all clips of DATA.

    DATA is a folder of videos or shards, a CAV-MAE JSON, or a VGGSound or AudioSet .csv with --media.
    """
    from cavsync.cli.eval.output import check_outputs, deliver
    from cavsync.evaluate.inputs.encoders import open_encoder
    from cavsync.evaluate.inputs.eval_clips import open_eval_clips
    from cavsync.evaluate.retrieval.embeddings import clip_embeddings
    from cavsync.evaluate.retrieval.measure import rank_clips
    from cavsync.evaluate.retrieval.result import retrieval_result
    from cavsync.evaluate.retrieval.similarity import SIMILARITIES

    check_outputs(json_out, html_out)
    encoder = open_encoder(model, device=device, **overrides)
    clips = open_eval_clips(
        data,
        segment_frames=encoder.segment_frames,
        frames=frames,
        media=media,
        only=only,
        split=split,
        per_class=per_class,
        seed=seed,
        segments=segments,
        channels=channels,
    )
    chosen = [kind for kind in SIMILARITIES if not kinds or kind in kinds]
    with _cache_folder(cache, no_cache) as folder:
        with counting_bar("embedding clips") as progress:
            found = clip_embeddings(encoder, clips, folder, batch_size=batch_size, progress=progress)
        with counting_bar("ranking") as progress:
            ranks = rank_clips(found, chosen, progress=lambda _kind, done, total: progress(done, total))
    result = retrieval_result(encoder, clips, found, ranks, seed=seed)
    deliver(result, json_out, html_out)


@contextmanager
def _cache_folder(cache: Path | None, no_cache: bool) -> Iterator[Path]:
    """Yield the folder for embeddings, a temporary one with --no-cache."""
    if no_cache and cache is not None:
        raise click.UsageError("--cache and --no-cache contradict each other: give one.")
    if no_cache:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
    else:
        from cavsync.evaluate.retrieval.embeddings import default_cache

        yield cache or default_cache()
