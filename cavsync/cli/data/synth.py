"""`cavsync data synth`: generate clips with exact ground truth."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from cavsync.cli.progress import counting_bar

_NAMED_FPS = {"23.976": "24000/1001", "23.98": "24000/1001", "29.97": "30000/1001", "59.94": "60000/1001"}


def _size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Parse WIDTHxHEIGHT as (width, height)."""
    if value is None:
        return None
    width, _x, height = value.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise click.BadParameter(f"{value!r} is not a size: write it as 192x144.")
    return int(width), int(height)


def _fps(_: click.Context, __: click.Parameter, value: str | None) -> Fraction | None:
    """Parse an exact rate in Hz; 23.976, 29.97 and 59.94 stand for the rates over 1001."""
    if value is None:
        return None
    try:
        return Fraction(_NAMED_FPS.get(value, value))
    except (ValueError, ZeroDivisionError) as error:
        raise click.BadParameter(f"{value!r} is not a frame rate: write it as 25, 29.97 or 30000/1001.") from error


@click.command("synth")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--clips", type=click.IntRange(1), required=True, help="Number of clips to write.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed; equal seeds give equal clips."
)
@click.option(
    "--families",
    metavar="A,B",
    default="flat",
    show_default=True,
    help="Families, taken in turn. flat: impacts, drummer, keys, face (drawings, quick to learn). worlds: balls, tools,"
    " plucked, bowed, animals, machines, walking, screen, voices (three-dimensional scenes). all: both.",
)
@click.option("--duration-seconds", type=float, default=6.0, show_default=True, help="Length of each clip.")
@click.option(
    "--max-offset-ms",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Draw offsets uniformly within ± this; positive means that the audio is early.",
)
@click.option(
    "--drift-ms-per-minute",
    type=float,
    default=0.0,
    show_default=True,
    help="Growth of the offset within every clip.",
)
@click.option(
    "--silent-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of clips with silent audio.",
)
@click.option(
    "--static-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of clips with a frozen frame.",
)
@click.option("--size", metavar="WxH", callback=_size, help="Frame size, for example 192x144.  [default: varies]")
@click.option(
    "--fps", metavar="F", callback=_fps, help="Frame rate, for example 25, 29.97 or 30000/1001.  [default: varies]"
)
@click.option(
    "--container",
    type=click.Choice(["mixed", "mp4", "webm", "mkv", "avi", "mpg"]),
    default="mixed",
    show_default=True,
    help="Container, which determines the codecs.",
)
@click.option(
    "--clutter",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="Strength of silent movers, camera shake and noise, and background sound.",
)
@click.option(
    "--speech",
    type=click.Choice(["auto", "synthetic", "espeak-ng"]),
    default="auto",
    show_default=True,
    help="Voice of faces and voices; auto uses espeak-ng, if it is installed, for half of these clips.",
)
@click.option("--masks", type=click.IntRange(0), default=0, show_default=True,
              help="Pixel-exact object masks per clip, for `cavsync eval localize`.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Number of processes.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier set in OUT.")
def synth(
    out: Path, clips: int, seed: int, families: str, masks: int, workers: int, overwrite: bool, **drawn: Any
) -> None:
    """Write generated clips with exact ground truth into the folder OUT.

    Sizes, frame rates and codecs vary unless they are fixed. OUT/truth.jsonl holds one JSON object per clip: its file
    name, true offset and drift, event times, all parameters, and `spec`, one line from which
    `cavsync.data.synth.ClipSpec.from_text` makes the clip again. OUT/labels.csv holds each clip's classes: its family
    and the objects that sound in it. --masks adds OUT/masks/CLIP/FRAME.png, where pixel value i stands for the i-th of
    the clip's `objects` in truth.jsonl, counted from 1.
    """
    from cavsync.data.synth import count_voices, draw_specs, generate, voices_sentence

    chosen = [name.strip() for name in families.split(",")]
    specs = draw_specs(clips, seed, families=chosen, **drawn)
    with counting_bar("writing clips") as progress:
        truth = generate(out, specs, workers=workers, masks=masks, overwrite=overwrite, progress=progress)
    click.echo(f"{len(truth)} clips and truth.jsonl, labels.csv in {out}")
    if sentence := voices_sentence(count_voices(truth), hints=drawn["speech"] == "auto"):
        click.echo(sentence)
