"""`cavsync eval inpaint`: fill in hidden patches with the decoder and measure the error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options
from cavsync.cli.options import channels_option, key_values
from cavsync.cli.progress import counting_bar

if TYPE_CHECKING:
    from cavsync.media.resample import ChannelRule

MODES = ("unstructured", "time", "frequency", "time-frequency")


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a list of numbers such as 0.5,0.75.", context, parameter) from None


@click.command("inpaint")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/NAME or an authors' .pth, including its decoder.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as norm_pix_loss=true.")  # fmt: skip
@click.option("--ratios", callback=_numbers, default="0.25,0.5,0.75,0.9", show_default=True,
              help="Shares of patches to hide, separated by commas.")  # fmt: skip
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES),
              help="Layout of the audio mask. May be repeated.  [default: all]")  # fmt: skip
@click.option(
    "--picture-ratio", "frame_ratio", type=float, help="Share of visual patches to hide.  [default: as for audio]"
)
@click.option("--clips", type=click.IntRange(min=1), help="Number of clips, drawn by --seed.  [default: all]")
@click.option("--moments", type=click.IntRange(min=1), default=1, show_default=True, help="Moments tested per clip.")
@click.option("--frames-per-clip", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip that a CAV-MAE JSON holds.")  # fmt: skip
@channels_option
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for images and audio of examples."
)
@click.option("--examples", type=click.IntRange(min=0), default=8, show_default=True,
              help="Clips written to --out, with the first --mode and the ratio nearest to 0.75.")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the masks and of the choice of clips.",
)
@click.option("--device", default="cpu", show_default=True, help="Device of the model, such as cuda.")
@result_options
def inpaint(
    data: Path,
    model: Path,
    overrides: dict[str, Any],
    ratios: tuple[float, ...],
    modes: tuple[Any, ...],
    frame_ratio: float | None,
    clips: int | None,
    moments: int,
    frames_per_clip: int,
    channels: ChannelRule | None,
    out: Path | None,
    examples: int,
    seed: int,
    device: str,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Hide patches of audio and frames, fill them in with the decoder, and measure the error by mask ratio and layout.

    This repeats CAV-MAE's inpainting figure. DATA is a folder of videos or shards, or a CAV-MAE JSON. --out receives
    frames and spectrograms as images (original, input of the model, inpainted), and audio synthesised by Griffin-Lim
    from the original and from the inpainted log-mel.
    """
    import numpy as np

    from cavsync.data.sources.clips import open_source
    from cavsync.evaluate.inpaint.examples import InpaintExamples
    from cavsync.evaluate.inpaint.measure import MASK_MODES, sweep
    from cavsync.evaluate.inpaint.measure import inpaint as inpaint_clips
    from cavsync.evaluate.inpaint.result import inpaint_result
    from cavsync.evaluate.inputs.clip_selection import clip_name
    from cavsync.evaluate.inputs.decoder import open_decoder
    from cavsync.evaluate.inputs.source_files import source_files
    from cavsync.evaluate.results.provenance import named_data_id, provenance

    check_outputs(json_out, html_out)
    masks = sweep(ratios, modes or MASK_MODES, frame_ratio)
    model_id, network = open_decoder(model, device=device, **overrides)
    segment_frames = network.config.audio_length
    source = open_source(data, frames_per_clip=frames_per_clip, segment_frames=segment_frames, channels=channels)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(source.names))[: clips or None]).tolist()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    shown = min((mask for mask in masks if mask.mode == masks[0].mode), key=lambda mask: abs(mask.ratio_audio - 0.75))
    files = InpaintExamples(out or Path(), examples if out else 0, network.config, shown)
    with counting_bar("inpainting clips") as progress:
        scores = inpaint_clips(
            network, source, masks, indices=chosen, moments_per_clip=moments, seed=seed, on_case=files,
            progress=progress,
        )  # fmt: skip
    files_read = source_files(source, chosen, data if data.is_dir() else data.parent)
    measured_on = named_data_id(data.resolve().name, files_read, (clip_name(source.names[index]) for index in chosen))
    result_provenance = provenance(models=[model_id], data=[measured_on], seed=seed, device=device)
    result = inpaint_result(
        scores, masks, result_provenance, norm_pix_loss=network.config.norm_pix_loss, moments_per_clip=moments,
        channels=source.channels, pictures=files.written,
    )  # fmt: skip
    deliver(result, json_out, html_out, out)
