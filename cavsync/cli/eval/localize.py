"""`cavsync eval localize`: measure how well a model locates the sounding object in a frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options
from cavsync.cli.options import channels_of_videos_option, key_values
from cavsync.cli.progress import counting_bar
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.evaluate.inputs.encoders import Encoder
    from cavsync.media.resample import ChannelRule


@click.command("localize")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/NAME, an authors' .pth, or a BUNDLE.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
@click.option("--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder of the clips of a VGG-SS .json.")  # fmt: skip
@click.option("--boxes-needed", type=click.IntRange(min=1), default=1, show_default=True,
              help="Boxes of a .json that must agree for full weight: 1 as in VGG-SS, "
              "2 as in Flickr-SoundNet.")  # fmt: skip
@channels_of_videos_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for images and videos of heat maps."
)
@click.option("--pictures", type=click.IntRange(min=0), default=24, show_default=True,
              help="Number of heat-map images to write to --out.")  # fmt: skip
@click.option("--only-overlays", is_flag=True,
              help="Measure nothing: write each clip of DATA, a file or a folder, "
              "with its heat map to --out.")  # fmt: skip
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              help="With --only-overlays: length of each clip that is written.")  # fmt: skip
@click.option("--scale", type=click.Choice(["clip", "picture"]), default="clip", show_default=True,
              help="With --only-overlays: range of the colours, "
              "over the clip or over each frame (picture).")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the baselines.")
@click.option("--device", default="cpu", show_default=True, help="Device of a run or .pth, such as cuda.")
@result_options
def localize(
    data: Path,
    model: Path,
    overrides: dict[str, Any],
    media: Path | None,
    boxes_needed: int,
    channels: ChannelRule | None,
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
    """Compare heat maps with annotations of the sounding object.

    The heat map of a frame is the cosine between its visual patches and the pooled audio. Metrics: mAP and mIoU as for
    ADE20K_Sound, cIoU and AUC as for VGG-SS. Baselines: the same frames with another clip's audio, a centre prior and
    random heat maps. DATA is a folder that `cavsync data synth --masks` wrote, an ADE20K_Sound folder, or VGG-SS's
    .json with --media.
    """
    from cavsync.errors import ConfigError
    from cavsync.evaluate.inputs.encoders import open_encoder
    from cavsync.evaluate.localize.data_sets import open_localization_set

    check_outputs(json_out, html_out)
    if only_overlays and out is None:
        raise ConfigError("--only-overlays writes images and videos: name a folder for them with --out.")
    if only_overlays and (json_out or html_out):
        raise ConfigError("--only-overlays measures nothing: leave out --json and --html.")
    data_set = None if only_overlays else open_localization_set(data, media, boxes_needed, channels or "mix")
    encoder = open_encoder(model, device=device, **overrides)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    if data_set is None:
        assert out is not None
        _overlay(encoder, data, out, max_seconds=max_seconds, scale=scale, channels=channels or "mix")
        return
    from cavsync.evaluate.localize.examples import LocalizationExamples
    from cavsync.evaluate.localize.measure import localize as localize_clips
    from cavsync.evaluate.localize.result import localize_result
    from cavsync.evaluate.results.provenance import data_id, provenance

    shown = LocalizationExamples(out or Path(), pictures if out else 0)
    with counting_bar("computing heat maps") as progress:
        scores = localize_clips(encoder, data_set, seed=seed, on_case=shown, progress=progress)
    measured_on = data_id(data.resolve().name, data_set.files(), data_set.root)
    result_provenance = provenance(models=[encoder.id], data=[measured_on], seed=seed, device=encoder.device)
    chained = encoder.joint_blocks_chained
    result = localize_result(scores, data_set, result_provenance, joint_blocks_chained=chained, pictures=shown.written)
    deliver(result, json_out, html_out, out)


def _overlay(encoder: Encoder, data: Path, out: Path, **options: Any) -> None:
    from cavsync.errors import DataError
    from cavsync.evaluate.localize.data_sets import clips_to_overlay
    from cavsync.evaluate.localize.overlay_files import overlay_clips

    clips = clips_to_overlay(data)
    with counting_bar("drawing heat maps") as progress:
        written, rejects = overlay_clips(encoder, clips, out, **options, progress=progress)
    for reason in rejects.values():
        click.echo(printable(f"rejected: {reason}"), err=True)
    if not written:
        raise DataError(f"No clip of {data} could be used: see `cavsync data check {data}`.")
    click.echo(printable(f"{len(written)} overlays in {out}"))
