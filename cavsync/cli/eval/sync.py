"""`cavsync eval sync`: test offsets, in-sync decisions and confidence on files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import stopped_by_signals
from cavsync.cli.eval.output import result_options
from cavsync.cli.options import key_values
from cavsync.cli.progress import counting_bar
from cavsync.cli.scoring import track_options
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.deploy import Bundle
    from cavsync.evaluate.results.result import ModelId
    from cavsync.evaluate.sync.measure import SyncTests

MAX_OFFSET_MS = 10_000.0


def _offsets(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    """Parse `0,200,-200` to different numbers of milliseconds."""
    try:
        offsets = tuple(float(word) for word in value.split(","))
    except ValueError:
        offsets = ()
    if not offsets or len(set(offsets)) < len(offsets) or not all(abs(offset) <= MAX_OFFSET_MS for offset in offsets):
        raise click.BadParameter(
            f"'{value}' is not a list of different numbers within ±{MAX_OFFSET_MS:.0f}, such as 0,200,-200.",
            context,
            parameter,
        )
    return offsets


def _selection(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Parse the values of `--only COLUMN=VALUE` to the values that are wanted in each column."""
    wanted: dict[str, tuple[str, ...]] = {}
    for value in values:
        column, separator, text = value.partition("=")
        if not separator or not column:
            raise click.BadParameter(f"'{value}' is not of the form column=value.", context, parameter)
        wanted[column] = (*wanted.get(column, ()), text)
    return wanted


def _variants(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Parse `mirror,half`, or `all`."""
    from cavsync.evaluate.sync.files.variants import VARIANTS

    return _chosen(context, parameter, value, VARIANTS)


def _generation_metrics(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Parse `lse,javis`, or `all`."""
    from cavsync.evaluate.sync.generation.measures import GENERATION_METRICS

    return _chosen(context, parameter, value, GENERATION_METRICS)


def _chosen(
    context: click.Context, parameter: click.Parameter, value: str | None, known: tuple[str, ...]
) -> tuple[str, ...]:
    names = () if value is None else known if value == "all" else tuple(dict.fromkeys(value.split(",")))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise click.BadParameter(f"'{unknown}' is none of all, {', '.join(known)}.", context, parameter)
    return names


@click.command("sync")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", "bundles", multiple=True, type=click.Path(path_type=Path),
              help="Bundle to test. May be repeated.")  # fmt: skip
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/NAME or an authors' .pth to test, uncalibrated. "
              "May be repeated.")  # fmt: skip
@click.option("--path", "paths", multiple=True, type=click.Choice(["auto", "face", "whole"]),
              help="Path of the bundles to test: the faces, the whole picture, or both (auto). May be repeated; by "
              "default all that a bundle has.")  # fmt: skip
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", callback=_selection,
              help="Use only clips with this value in DATA's table, such as kind=speech. May be repeated: a clip "
              "needs one of the values of each column that is named.")  # fmt: skip
@click.option("--min-seconds", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="Use only clips whose video and audio last at least this long.")  # fmt: skip
@click.option("--window-seconds", type=click.FloatRange(min=0, min_open=True),
              help="Length of windows, and of the shortest clip; by default that of each bundle.")  # fmt: skip
@click.option("--offsets", "offsets_ms", metavar="MS,MS,...", default="0,200,-200,400,-400", show_default=True,
              callback=_offsets, help="Offsets to put into copies of the clips, in ms.")  # fmt: skip
@click.option("--wrong-sound", is_flag=True,
              help="Also score every clip with the audio of a clip of another group, where nothing should be "
              "decided.")  # fmt: skip
@click.option("--variants", metavar="NAME,NAME,...", callback=_variants,
              help="Also score the clips with their frames changed: all, or some of mirror, half, double, letterbox, "
              "fps15, fps30, fps60, dim, noise, mjpeg, second-face, cuts.")  # fmt: skip
@click.option("--classes", "classes_per_clip", type=click.IntRange(0, 21), default=0, show_default=True,
              help="Also test this many of the 21 offsets within ±2 s per clip.")  # fmt: skip
@click.option("--absolute-offset", is_flag=True,
              help="Also measure how far each unchanged clip is from sync, in classes of 0.2 s within ±2 s, as papers "
              "on generated audio do.")  # fmt: skip
@click.option("--generation-metrics", metavar="NAME,NAME,...", callback=_generation_metrics,
              help="Also compute metrics of papers on generated audio and video on the unchanged clips: all, or some "
              "of lse (LSE-C and LSE-D), av-align (needs OpenCV), javis (JavisScore and AVHScore).")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the classes and of the choice of other clips' audio.")  # fmt: skip
@click.option("--write-manifest", "manifest_out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the clips and trials as JSON lines, which repeat the test when given as DATA.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
@track_options
@result_options
def sync(
    data: Path,
    bundles: tuple[Path, ...],
    models: tuple[Path, ...],
    only: dict[str, tuple[str, ...]],
    min_seconds: float,
    seed: int,
    manifest_out: Path | None,
    overrides: dict[str, Any],
    json_out: Path | None,
    html_out: Path | None,
    audio_stream: str | None,
    video_stream: int | None,
    program: int | None,
    **tests: Any,
) -> None:
    """Test models on clips that are in sync or whose offset is known.

    Offsets are put into copies of the clips by shifting timestamps, and the copies are scored as files. The result has
    the errors, the decisions, the choice between in sync and shifted, and the calibration of the confidence, for each
    path of a bundle, with and without the constant offset of each source of footage. Shares have 95 % intervals over
    groups of clips. The baseline, motion energy against loudness, needs no training. DATA is a folder of clips, or a
    manifest of JSON lines. Ctrl-C or SIGTERM writes the result of the clips that are done.
    """
    from cavsync.cli.eval.output import check_outputs, deliver
    from cavsync.cli.result_files import require_result_files
    from cavsync.errors import DataError
    from cavsync.evaluate.results.provenance import data_id, provenance
    from cavsync.evaluate.sync.cases import sync_cases, truth_files
    from cavsync.evaluate.sync.files.clip_lengths import long_enough
    from cavsync.evaluate.sync.measure import SyncTests, evaluate_sync
    from cavsync.evaluate.sync.report.protocol import sync_protocol
    from cavsync.evaluate.sync.report.result import sync_result
    from cavsync.media.tracks import TrackChoice

    check_outputs(json_out, html_out)
    require_result_files([manifest_out], [str(data)])
    cases = long_enough(sync_cases(data, only), min_seconds)
    tracks = TrackChoice.parsed(audio_stream, video_stream, program)
    if len(tracks.audio) > 1:
        raise click.UsageError("--audio-stream takes one track here: mixes cannot be copied without encoding.")
    wanted = SyncTests(**tests, tracks=tracks)
    opened = _open(bundles, models, overrides)
    tested = {name: bundle for name, (_, bundle) in opened.items()}
    protocol = sync_protocol(
        {name: bundle.manifest for name, bundle in tested.items()},
        cases,
        wanted,
        only=only,
        min_seconds=min_seconds,
        sha256={name: model_id.sha256 for name, (model_id, _) in opened.items()},
    )
    if manifest_out is not None:
        _write_manifest(manifest_out, cases, wanted, seed)
    with stopped_by_signals() as check, counting_bar("testing clips") as show:

        def progress(done: int, total: int) -> None:
            show(done, total)
            check()

        found = evaluate_sync(tested, cases, wanted, seed=seed, progress=progress)
    for error in found.rejects.values():
        click.echo(printable(f"rejected: {error}"), err=True)
    if not found.clips:
        raise DataError(f"No clip of {data} could be tested: see `cavsync data check {data}`.")
    files = [*(case.path for case in cases if case.path.is_file()), *truth_files(data)]
    identity = data_id(data.name, files, data.parent if data.is_file() else data)
    made = provenance(models=[model_id for model_id, _ in opened.values()], data=[identity], seed=seed)
    deliver(sync_result(found, protocol, made), json_out, html_out)
    if found.stopped is not None:
        raise type(found.stopped)(f"{len(found.clips)} of {len(cases)} clips were tested")


def _write_manifest(path: Path, cases: Any, tests: SyncTests, seed: int) -> None:
    from cavsync.evaluate.sync.plan import plan_of, write_plans

    options: dict[str, Any] = {"offsets_ms": tests.offsets_ms, "classes_per_clip": tests.classes_per_clip}
    write_plans(path, cases, [plan_of(case, **options, seed=seed) for case in cases])


def _open(
    bundles: tuple[Path, ...], models: tuple[Path, ...], overrides: dict[str, Any]
) -> dict[str, tuple[ModelId, Bundle]]:
    """Open what is tested, by name: that of the folder where it is unique, else the whole path."""
    from cavsync.deploy import Bundle
    from cavsync.evaluate.inputs.encoders import bundle_id

    paths = (*bundles, *models)
    if not paths:
        raise click.UsageError("Nothing to test: give --bundle or --model.")
    if overrides and not models:
        raise click.UsageError("--set changes a --model, but none is given: leave it out.")
    opened = {}
    for path in paths:
        name = path.resolve().name
        alone = sum(other.resolve().name == name for other in paths) == 1
        if path in bundles:
            bundle = Bundle.open(path)
            found = (bundle_id(bundle), bundle)
        else:
            from cavsync.evaluate.inputs.model_bundle import bundle_of_checkpoint

            found = bundle_of_checkpoint(path, **overrides)
        opened[name if alone else str(path)] = found
    return opened
