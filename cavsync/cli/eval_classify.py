"""`cavsync eval classify`: what a fine-tuned or probed model knows of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cavsync.cli.eval_result import check_outputs, deliver, result_options
from cavsync.cli.options import key_values

MODES = ("multimodal", "audio-only", "visual-only", "missing-visual", "missing-audio")


@click.command("classify")
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path),
              help="Folder of shards or of videos with a labels.csv, or a CAV-MAE JSON file.")  # fmt: skip
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name of the model's classes; runs have their own.")  # fmt: skip
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES),
              help="What the model is given; several in turn.  [default: as trained, else multimodal]")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip, each with its sound, whose probabilities are averaged.")  # fmt: skip
@click.option("--target", type=click.Choice(["multi-label", "single-label"]),
              help="Any number of classes per clip, or one.  [default: as trained, else by the labels]")  # fmt: skip
@click.option("--frames-per-clip", type=click.IntRange(min=1),
              help="Frames that a CAV-MAE list holds per clip.  [default: as trained, else 10]")  # fmt: skip
@click.option("--ignore-other-labels", is_flag=True, help="Leave out labels that the vocabulary does not hold.")
@click.option("--batch-clips", type=click.IntRange(min=1), default=8, show_default=True, help="Changes no number.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that decode.")
@click.option("--device", default="cpu", show_default=True, help="Where the model computes, such as cuda.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that the shapes of a .pth cannot tell, such as num_heads=12.")  # fmt: skip
@result_options
def classify(
    model: Path,
    data: Path,
    labels: Path | None,
    modes: tuple[Any, ...],
    frames: int,
    overrides: dict[str, Any],
    device: str,
    json_out: Path | None,
    html_out: Path | None,
    **options: Any,
) -> None:
    """Test MODEL, a classifier, on labelled clips: mAP, AUC and d', and accuracy where every clip has one class.

    MODEL is a run of `cavsync train --preset finetune-... or probe`, one of its checkpoints, or a fine-tuned .pth of
    the CAV-MAE authors.
    """
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.evaluate.classifier import open_classifier
    from cavsync.evaluate.classify import classify as run
    from cavsync.evaluate.classify_report import classify_result

    check_outputs(json_out, html_out)
    opened = open_classifier(model, labels, **overrides)
    chosen = modes or (opened.mode or "multimodal",)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("classifying clips", total=None)
        found = run(
            opened, data, chosen, frames=frames, device=device,
            progress=lambda done, total: progress.update(task, completed=done, total=total), **options,
        )  # fmt: skip
    deliver(classify_result(opened, found, data, frames=frames, device=device), json_out, html_out)
