"""`cavsync eval classify`: measure mAP, AUC and accuracy of a fine-tuned or probed model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options, segments_option
from cavsync.cli.options import channels_option, key_values
from cavsync.cli.progress import counting_bar

if TYPE_CHECKING:
    from cavsync.data.sampling import SegmentRule
    from cavsync.media.resample import ChannelRule

MODES = ("multimodal", "audio-only", "visual-only", "missing-visual", "missing-audio")
DEFAULT_FRAMES = 10


@click.command("classify")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN or RUN/checkpoints/NAME of a classifier, or a fine-tuned .pth of the authors.")  # fmt: skip
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="CSV index,mid,display_name of the model's classes; "
              "by default those that the run holds.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the videos that a .csv lists.")  # fmt: skip
@click.option("--split", help="Split of a VGGSound .csv to use, such as test.")
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES),
              help="Modalities given to the model. May be repeated.  [default: as trained, "
              "else multimodal]")  # fmt: skip
@click.option("--frames", type=click.IntRange(min=1),
              help="Frames per clip; their probabilities are averaged unless the head classifies them together. By "
              "default all of a CAV-MAE JSON; otherwise 10, or for such a head as many as in its training (16 if "
              "unknown).")  # fmt: skip
@segments_option
@channels_option
@click.option("--target", type=click.Choice(["multi-label", "single-label"]),
              help="Any number of classes per clip, or exactly one.  [default: as trained, "
              "else by the labels]")  # fmt: skip
@click.option("--ignore-other-labels", is_flag=True, help="Ignore labels that are not in the vocabulary.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Number of decoding threads.")
@click.option("--device", default="cpu", show_default=True, help="Device of the model, such as cuda.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
@result_options
def classify(
    data: Path,
    model: Path,
    labels: Path | None,
    media: Path | None,
    split: str | None,
    modes: tuple[Any, ...],
    frames: int | None,
    segments: SegmentRule,
    channels: ChannelRule | None,
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
    from cavsync.evaluate.classify.classifier import open_classifier
    from cavsync.evaluate.classify.measure import classify as run
    from cavsync.evaluate.classify.result import classify_result
    from cavsync.evaluate.inputs.eval_clips import open_eval_clips

    check_outputs(json_out, html_out)
    opened = open_classifier(model, labels, **overrides)
    if frames is None and data.suffix.lower() != ".json":
        frames = opened.frames_together if opened.model.takes_clips else DEFAULT_FRAMES
    clips = open_eval_clips(
        data,
        segment_frames=opened.model.config.audio_length,
        frames=frames,
        media=media,
        split=split,
        segments=segments,
        channels=channels,
    )
    with counting_bar("classifying clips") as progress:
        chosen = modes or (opened.mode or "multimodal",)
        found = run(opened, clips, chosen, device=device, progress=progress, **options)
    deliver(classify_result(opened, found, clips, device=device), json_out, html_out)
