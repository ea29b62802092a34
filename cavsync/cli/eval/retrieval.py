"""`cavsync eval retrieval`: sounds found by frames and frames found by sounds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cavsync.cli.eval.output import result_options
from cavsync.cli.options import key_values

SIMILARITIES = ("diagonal-mean", "diagonal-max", "full-mean", "full-max", "single-frame")


@click.command("retrieval")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/step-N, an authors' .pth, or a BUNDLE.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the videos that a .csv lists.")  # fmt: skip
@click.option("--split", help="Rows of a VGGSound .csv to take, such as test.")
@click.option("--list", "only", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CAV-MAE JSON that chooses among the clips by video_id, such as five per class.")  # fmt: skip
@click.option("--per-class", type=click.IntRange(min=1), help="Draw this many clips of each class of a list.")
@click.option("--frames", type=click.IntRange(min=1),
              help="Frames per clip; by default 16, or as many as a CAV-MAE JSON has.")  # fmt: skip
@click.option("--similarity", "kinds", multiple=True, type=click.Choice(SIMILARITIES),
              help="How two clips are compared; all ways by default.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True,
              help="Inputs that an encoder takes at once.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Where a model of torch runs, such as cuda.")
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of embeddings that were computed before; by default below ~/.cache.")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Keep no embeddings.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that the shapes of a .pth cannot tell, such as num_heads=12.")  # fmt: skip
@result_options
def retrieval(
    data: Path,
    model: Path,
    media: Path | None,
    split: str | None,
    only: Path | None,
    per_class: int | None,
    frames: int | None,
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
    """Find each clip's audio by its frames, and its frames by its audio, among all clips of DATA.

    DATA is a folder of videos or shards, a CAV-MAE JSON, or a VGGSound or AudioSet .csv with --media.
    """
    from rich.console import Console
    from rich.progress import Progress

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
    )
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        _cache_folder(cache, no_cache) as folder,
    ):
        embedding = progress.add_task("embedding clips", total=len(clips.indices))
        ranking = progress.add_task("ranking", total=None, visible=False)
        found = clip_embeddings(
            encoder,
            clips,
            folder,
            batch_size=batch_size,
            progress=lambda done, _total: progress.update(embedding, completed=done),
        )
        ranks = rank_clips(
            found,
            [kind for kind in SIMILARITIES if not kinds or kind in kinds],
            progress=lambda kind, done, total: progress.update(
                ranking, description=f"ranking by {kind}", completed=done, total=total, visible=True
            ),
        )
        result = retrieval_result(encoder, clips, found, ranks, seed=seed)
    deliver(result, json_out, html_out)


@contextmanager
def _cache_folder(cache: Path | None, no_cache: bool) -> Iterator[Path]:
    """The folder for embeddings; one that goes away where none are to be kept."""
    if no_cache and cache is not None:
        raise click.UsageError("--cache and --no-cache contradict each other: give one.")
    if no_cache:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
    else:
        from cavsync.evaluate.retrieval.embeddings import default_cache

        yield cache or default_cache()
