"""`cavsync eval classify`: what a fine-tuned or probed model knows of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options
from cavsync.cli.options import key_values

MODES = ("multimodal", "audio-only", "visual-only", "missing-visual", "missing-audio")
DEFAULT_FRAMES = 10


@click.command("classify")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN or RUN/checkpoints/step-N of a classifier, or a fine-tuned .pth of the authors.")  # fmt: skip
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name of the model's classes; runs have their own.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the videos that a .csv lists.")  # fmt: skip
@click.option("--split", help="Rows of a VGGSound .csv to take, such as test.")
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES),
              help="What the model is given; several in turn.  [default: as trained, else multimodal]")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1),
              help="Frames per clip, averaged; by default 10, or as many as a CAV-MAE JSON has.")  # fmt: skip
@click.option("--target", type=click.Choice(["multi-label", "single-label"]),
              help="Any number of classes per clip, or one.  [default: as trained, else by the labels]")  # fmt: skip
@click.option("--ignore-other-labels", is_flag=True, help="Leave out labels that the vocabulary does not hold.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads that decode.")
@click.option("--device", default="cpu", show_default=True, help="Where the model computes, such as cuda.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that the shapes of a .pth cannot tell, such as num_heads=12.")  # fmt: skip
@result_options
def classify(
    data: Path,
    model: Path,
    labels: Path | None,
    media: Path | None,
    split: str | None,
    modes: tuple[Any, ...],
    frames: int | None,
    overrides: dict[str, Any],
    device: str,
    json_out: Path | None,
    html_out: Path | None,
    **options: Any,
) -> None:
    """Test a classifier on the labelled clips of DATA: mAP, AUC and d', and accuracy where every clip has one class.

    DATA is a folder of shards, or of videos with a labels.csv, a CAV-MAE JSON, or a VGGSound or AudioSet .csv with
    --media. The model comes from `cavsync train --preset finetune-... or probe`, or from the CAV-MAE authors.
    """
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.evaluate.classify.classifier import open_classifier
    from cavsync.evaluate.classify.measure import classify as run
    from cavsync.evaluate.classify.result import classify_result
    from cavsync.evaluate.inputs.eval_clips import open_eval_clips

    check_outputs(json_out, html_out)
    opened = open_classifier(model, labels, **overrides)
    if frames is None and data.suffix.lower() != ".json":
        frames = DEFAULT_FRAMES
    clips = open_eval_clips(
        data, segment_frames=opened.model.config.audio_length, frames=frames, media=media, split=split
    )
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("classifying clips", total=None)
        found = run(
            opened, clips, modes or (opened.mode or "multimodal",), device=device,
            progress=lambda done, total: progress.update(task, completed=done, total=total), **options,
        )  # fmt: skip
    result = classify_result(
        opened, found, clips.data, frames=clips.frames, selection=clips.selection, device=device
    )  # fmt: skip
    deliver(result, json_out, html_out)
