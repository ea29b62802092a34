"""`cavsync eval inpaint`: what a decoder makes of hidden patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cavsync.cli.eval.output import check_outputs, deliver, result_options
from cavsync.cli.options import key_values

MODES = ("unstructured", "time", "frequency", "time-frequency")


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a list of numbers such as 0.5,0.75.", context, parameter) from None


@click.command("inpaint")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--model", required=True, type=click.Path(path_type=Path),
              help="Run folder, checkpoints/step-N, or a .pth of the authors; it needs its decoder.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that a .pth's shapes cannot tell, such as norm_pix_loss=true.")  # fmt: skip
@click.option("--ratios", callback=_numbers, default="0.25,0.5,0.75,0.9", show_default=True,
              help="Shares of patches to hide.")  # fmt: skip
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES),
              help="Layout of the audio's mask; several.  [default: all]")  # fmt: skip
@click.option(
    "--picture-ratio", "frame_ratio", type=float, help="Share to hide in the frame.  [default: as in the audio]"
)
@click.option("--clips", type=click.IntRange(min=1), help="Take this many clips, drawn by --seed.  [default: all]")
@click.option("--moments", type=click.IntRange(min=1), default=1, show_default=True, help="Moments of each clip.")
@click.option("--frames-per-clip", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames that a CAV-MAE JSON holds per clip.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for frames and audio.")
@click.option("--examples", type=click.IntRange(min=0), default=8, show_default=True,
              help="Clips to write to --out, under the first --mode and the ratio nearest to 0.75.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the masks.")
@click.option("--device", default="cpu", show_default=True, help="Where the model computes, such as cuda.")
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
    out: Path | None,
    examples: int,
    seed: int,
    device: str,
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Hide patches of audio and video, fill them in with the model's decoder, and measure the error by mask ratio and
    by the layout of the mask, as in CAV-MAE's figure.

    DATA is a folder of videos or shards, or a CAV-MAE JSON. --out gets frames and spectrograms side by side
    (original, seen by the model, inpainted), and sounds by Griffin-Lim from the log-mel, inpainted and not.
    """
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from cavsync.data.sources.clips import open_source
    from cavsync.evaluate.inpaint.examples import InpaintExamples
    from cavsync.evaluate.inpaint.measure import MASK_MODES, sweep
    from cavsync.evaluate.inpaint.measure import inpaint as fill_in
    from cavsync.evaluate.inpaint.result import inpaint_result
    from cavsync.evaluate.inputs.clip_selection import clip_name
    from cavsync.evaluate.inputs.decoder import open_decoder
    from cavsync.evaluate.inputs.source_files import source_files
    from cavsync.evaluate.results.provenance import named_data_id, provenance

    check_outputs(json_out, html_out)
    masks = sweep(ratios, modes or MASK_MODES, frame_ratio)
    origin, network = open_decoder(model, device=device, **overrides)
    source = open_source(data, frames_per_clip=frames_per_clip, segment_frames=network.config.audio_length)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(source.names))[: clips or None]).tolist()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    shown = min((mask for mask in masks if mask.mode == masks[0].mode), key=lambda mask: abs(mask.ratio_audio - 0.75))
    files = InpaintExamples(out or Path(), examples if out else 0, network.config, shown)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("inpainting clips", total=len(chosen))
        scores = fill_in(
            network, source, masks, indices=chosen, moments_per_clip=moments, seed=seed, on_case=files,
            progress=lambda done, _: bar.update(task, completed=done),
        )  # fmt: skip
    files_read = source_files(source, chosen, data if data.is_dir() else data.parent)
    measured_on = named_data_id(data.resolve().name, files_read, (clip_name(source.names[index]) for index in chosen))
    made_of = provenance(models=[origin], data=[measured_on], seed=seed, device=device)
    result = inpaint_result(
        scores, masks, made_of, norm_pix_loss=network.config.norm_pix_loss, moments_per_clip=moments,
        pictures=files.written,
    )  # fmt: skip
    deliver(result, json_out, html_out, out)
