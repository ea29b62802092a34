"""`cavsync eval localize`: where in the picture a model sees what it hears."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options
from cavsync.cli.options import key_values

if TYPE_CHECKING:
    from cavsync.evaluate.inputs.encoders import Encoder


@click.command("localize")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="Bundle, run folder, checkpoints/step-N, or a .pth of the authors.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that a .pth's shapes cannot tell, such as num_heads=12.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Where the clips of a VGG-SS .json lie.")  # fmt: skip
@click.option("--boxes-needed", type=click.IntRange(min=1), default=1, show_default=True,
              help="Boxes of a .json that must agree for full weight: 1 as in VGG-SS, 2 as in Flickr.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for pictures and videos.")
@click.option("--pictures", type=click.IntRange(min=0), default=24, show_default=True,
              help="How many pictures to write to --out.")  # fmt: skip
@click.option("--only-overlays", is_flag=True,
              help="No figures: write the heat map over each clip of DATA, a file or a folder, to --out.")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              help="How much of each clip --only-overlays takes.")  # fmt: skip
@click.option("--scale", type=click.Choice(["clip", "picture"]), default="clip", show_default=True,
              help="What the colours of --only-overlays span: a clip's heat, or each picture's own.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the baselines.")
@click.option("--device", default="cpu", show_default=True, help="Where a run or .pth computes, such as cuda.")
@result_options
def localize(
    data: Path,
    model: Path,
    overrides: dict[str, Any],
    media: Path | None,
    boxes_needed: int,
    out: Path | None,
    pictures: int,
    only_overlays: bool,
    max_seconds: float,
    scale: Any,
    seed: int,
    device: str,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Compare the heat map of each picture, the cosine between the pooled sound and the visual patches, with where the
    sounding object is: mAP and mIoU as for ADE20K_Sound, cIoU and AUC as for VGG-SS.

    DATA is a folder of `cavsync data synth --masks`, an ADE20K_Sound folder, or VGG-SS's .json with --media. The same
    pictures with another clip's sound, a centre prior and random heat maps stand beside the model.
    """
    from cavsync.errors import ConfigError
    from cavsync.evaluate.inputs.encoders import open_encoder
    from cavsync.evaluate.localize.data_sets import open_localization_set

    check_outputs(json_out, html_out)
    if only_overlays and out is None:
        raise ConfigError("--only-overlays writes pictures and videos: name a folder for them with --out.")
    if only_overlays and (json_out or html_out):
        raise ConfigError("--only-overlays measures nothing: leave out --json and --html.")
    questions = None if only_overlays else open_localization_set(data, media, boxes_needed)
    encoder = open_encoder(model, device=device, **overrides)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    if questions is None:
        assert out is not None
        _overlay(encoder, data, out, max_seconds, scale)
        return
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.evaluate.localize.examples import LocalizationExamples
    from cavsync.evaluate.localize.measure import localize as ask
    from cavsync.evaluate.localize.result import localize_result
    from cavsync.evaluate.results.provenance import data_id, provenance

    shown = LocalizationExamples(out or Path(), pictures if out else 0)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking for sounds", total=len(questions.sources))
        scores = ask(
            encoder, questions, seed=seed, on_case=shown, progress=lambda done, _: bar.update(task, completed=done)
        )
    origin = data_id(data.resolve().name, questions.files(), questions.root)
    made_of = provenance(models=[encoder.id], data=[origin], seed=seed, device=encoder.device)
    deliver(localize_result(scores, questions, made_of, pictures=shown.written), json_out, html_out, out)


def _overlay(encoder: Encoder, data: Path, out: Path, max_seconds: float, scale: Any) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.errors import DataError
    from cavsync.evaluate.localize.data_sets import clips_to_overlay
    from cavsync.evaluate.localize.overlay_files import overlay_clips

    clips = clips_to_overlay(data)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("drawing heat maps", total=len(clips))
        written, rejects = overlay_clips(
            encoder, clips, out, max_seconds=max_seconds, scale=scale,
            progress=lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip
    for reason in rejects.values():
        click.echo(f"rejected: {reason}", err=True)
    if not written:
        raise DataError(f"No clip of {data} could be used: see `cavsync data check {data}`.")
    click.echo(f"{len(written)} overlays in {out}")
