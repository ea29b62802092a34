"""`cavsync export`: export a run's encoders as a bundle, which scores without torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cavsync.deploy.runtime.sidecar import BatchProfile
    from cavsync.export import TensorRTOptions
    from cavsync.export.parity import OutputParity
    from cavsync.manifest import Calibration


LIBRARIES = ("auto", "tensorrt", "rtx")


class ExportCommand(click.Command):
    """A command whose `--trt` needs no value, even where RUN follows it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default value after a bare `--trt`."""
        for place in reversed(range(len(args))):
            if args[place] == "--trt" and args[place + 1 : place + 2] not in [[name] for name in LIBRARIES]:
                args.insert(place + 1, LIBRARIES[0])
        return super().parse_args(ctx, args)


@click.command("export", cls=ExportCommand)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the bundle; absent or empty.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "fp8", "int8", "auto"]), default="fp32",
              show_default=True,
              help="Precision of the encoders' matrix products. int8: the fastest int8 form on this machine that is "
              "close enough to float32; auto: int8 and float32 for every runtime, engines in fp16.")  # fmt: skip
@click.option("--trt", "tensorrt", type=click.Choice(LIBRARIES), metavar="[auto|tensorrt|rtx]",
              help="Also build TensorRT engines. tensorrt: for the GPU of this machine; rtx: ahead of time, for "
              "GeForce and RTX GPUs; auto, or no value: tensorrt where possible, else rtx.")  # fmt: skip
@click.option("--compute-capability", "compute_capabilities", multiple=True, metavar="CC",
              help="Build an engine for this compute capability, such as 89. May be repeated.")  # fmt: skip
@click.option("--batch", metavar="MIN,OPT,MAX", help="Batch sizes of engines; by default 1,8,64.")
@click.option("--timing-cache", type=click.Path(dir_okay=False, path_type=Path),
              help="File where full TensorRT stores its kernel timings.")  # fmt: skip
@click.option("--triton-repo", type=click.Path(path_type=Path),
              help="Also write a model repository for NVIDIA's Triton Inference Server.")  # fmt: skip
@click.option("--step", type=click.IntRange(min=0), help="Step of the checkpoint to export; by default the last one.")
@click.option("--labels", type=click.Path(path_type=Path), metavar="CSV",
              help="CSV index,mid,display_name of a classifier's classes, if RUN does not hold them.")  # fmt: skip
@click.option("--calibration", metavar="FOLDER|none",
              help="Clips for calibration, parity checks and quantization; "
              "by default those that RUN held out.")  # fmt: skip
@click.option("--bundle", type=click.Path(path_type=Path),
              help="For a face run: the bundle that scores the whole picture, to which it is joined.")  # fmt: skip
@click.option("--name", help="Name of the bundle; by default that of RUN.")
@click.option("--weights-licence", default="not stated", show_default=True, help="Licence of the weights.")
@click.option("--storage", type=click.Choice(["float32", "half", "int8"]), default="float32", show_default=True,
              help="Storage format of the weights of float32 graphs; arithmetic stays float32.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--dry-run", is_flag=True, help="List the files that would be built, with purpose and size, and build nothing."
)
def export(
    run: Path,
    out: Path,
    tensorrt: str | None,
    compute_capabilities: tuple[str, ...],
    batch: str | None,
    timing_cache: Path | None,
    triton_repo: Path | None,
    calibration: str | None,
    dry_run: bool,
    bundle: Path | None,
    name: str | None,
    weights_licence: str,
    **options: Any,
) -> None:
    """Export the encoders of RUN to ONNX and TensorRT, check them against the PyTorch model, calibrate the confidence.

    The bundle of a classifier also holds a float32 graph from audio and frames to the logits of its classes. A face run
    is joined to the bundle named with --bundle, whose files stay as they are.

    The bundle is written only if every step succeeds.
    """
    from cavsync.deploy.runtime.sidecar import DEFAULT_BATCH
    from cavsync.export import TensorRTOptions, export_bundle
    from cavsync.run import Run

    if Run.open(run).is_face or bundle is not None:
        other = {"--trt": tensorrt, "--compute-capability": compute_capabilities, "--batch": batch,
                 "--timing-cache": timing_cache, "--triton-repo": triton_repo, "--labels": options["labels"],
                 "--name": name, "--dry-run": dry_run, "--precision": options["precision"] != "fp32"}  # fmt: skip
        _export_faces(
            run,
            out,
            bundle,
            [option for option, value in other.items() if value],
            calibration_clips=_clips(calibration),
            weights_licence=weights_licence,
            **{key: options[key] for key in ("step", "storage", "overwrite")},
        )
        return
    engines = None
    if tensorrt is not None:
        engines = TensorRTOptions(tensorrt, compute_capabilities, _profile(batch), timing_cache)  # type: ignore[arg-type]
    elif compute_capabilities or timing_cache or batch:
        raise click.UsageError("--compute-capability, --batch and --timing-cache are for engines: add --trt.")
    if triton_repo is not None:
        from cavsync.export.triton_repository import check_triton_repository

        if engines is not None and engines.profile.min > 1:
            raise click.UsageError("Triton also sends single inputs: begin --batch with 1.")
        check_triton_repository(out, triton_repo, overwrite=options["overwrite"])
    if dry_run:
        _plan(run, out, engines, triton_repo, calibration, options)
        return
    say = _narrator()
    manifest, parity = export_bundle(
        run,
        out,
        tensorrt=engines,
        calibration_clips=_clips(calibration),
        name=name,
        weights_licence=weights_licence,
        on_stage=say,
        **options,
    )
    if triton_repo is not None:
        from cavsync.export.triton_repository import write_triton_repository

        say("writing the Triton model repository")
        largest = (engines.profile if engines else DEFAULT_BATCH).max
        write_triton_repository(out, triton_repo, max_batch_size=largest, overwrite=options["overwrite"])
    _print(parity, manifest.calibration)
    click.echo(f"wrote {out}")


def _export_faces(run: Path, out: Path, bundle: Path | None, other: list[str], **options: Any) -> None:
    from cavsync.errors import ConfigError
    from cavsync.export.faces.bundle import add_face_path

    if bundle is None:
        raise ConfigError(f"'{run}' holds a face model, which is joined to a bundle: name one with --bundle.")
    if other:
        raise ConfigError(f"{other[0]} is not for a face model, which is exported in float32 to ONNX: leave it out.")
    manifest, parity = add_face_path(run, bundle, out, on_stage=_narrator(), **options)
    assert manifest.faces is not None
    _print(parity, manifest.faces.calibration)
    click.echo(f"wrote {out}")


def _narrator() -> Callable[[str], None]:
    """Return a function that prints a stage with the time since now."""
    from rich.console import Console

    console = Console(stderr=True)
    begin = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - begin:6.1f} s  {text}", soft_wrap=True, highlight=False)

    return say


def _profile(batch: str | None) -> BatchProfile:
    from cavsync.deploy.runtime.sidecar import DEFAULT_BATCH, BatchProfile

    if batch is None:
        return DEFAULT_BATCH
    try:
        least, usual, most = (int(part) for part in batch.split(","))
    except ValueError:
        raise click.UsageError(f"--batch is {batch!r}, expected three numbers such as 1,8,64.") from None
    profile = BatchProfile(min=least, opt=usual, max=most)
    if not profile.is_ordered:
        raise click.UsageError(f"--batch is {batch!r}, expected numbers of at least 1 in ascending order.")
    return profile


def _plan(
    run: Path,
    out: Path,
    engines: TensorRTOptions | None,
    triton_repo: Path | None,
    calibration: str | None,
    options: dict[str, Any],
) -> None:
    from rich.console import Console
    from rich.table import Table

    from cavsync.export.inputs import open_inputs
    from cavsync.export.plan import plan

    inputs = open_inputs(run, out, tensorrt=engines, calibration_clips=_clips(calibration), **options)
    made = plan(inputs, precision=options["precision"], storage=options["storage"], tensorrt=engines)
    table = Table(title=f"Would be written to {out}")
    for column in ("file", "for", "precision", "about", "needs"):
        table.add_column(column, justify="right" if column == "about" else "left")
    for row in made.files:
        table.add_row(row.file, row.purpose, row.precision, f"{row.size_bytes / 1e6:,.1f} MB", row.needs)
    Console().print(table)
    for note in (*made.notes, *([f"a Triton model repository in {triton_repo}"] if triton_repo else [])):
        click.echo(note)


def _clips(calibration: str | None) -> list[Path] | None:
    from cavsync.errors import DataError
    from cavsync.media.files import find_media

    if calibration is None:
        return None
    if calibration == "none":
        return []
    if not Path(calibration).is_dir():
        raise DataError(f"{calibration} is not a folder: give a folder of videos to calibrate on, or none")
    found = find_media(Path(calibration))
    if not found:
        raise DataError(f"{calibration} holds no media file to calibrate on: give a folder of videos, or none")
    return found


def _print(parity: list[OutputParity], found: Calibration | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Parity with the PyTorch model")
    for column in ("artefact", "output", "relative error", "cosine", "centred", "batch 1 : N"):
        table.add_column(column)
    for row in parity:
        table.add_row(
            row.artefact,
            row.output,
            f"{row.relative_error:.2e}",
            f"{row.cosine:.7f}",
            f"{row.centred_cosine:.5f}",
            f"{row.batch_error:.2e}",
        )
    Console().print(table)
    if found is None:
        click.echo("not calibrated: every decision will be undetermined")
    else:
        click.echo(
            f"calibrated on {found.num_windows} windows of {found.num_clips} clips: "
            f"resolution {found.resolution_ms:.0f} ms, threshold {found.threshold:.2f}"
        )
