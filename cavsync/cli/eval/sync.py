"""`cavsync eval sync`: test offsets, in-sync decisions and confidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import result_options
from cavsync.cli.options import key_values
from cavsync.cli.progress import counting_bar

if TYPE_CHECKING:
    from cavsync.deploy import Bundle
    from cavsync.evaluate.results.result import ModelId


@click.command("sync")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", "bundles", multiple=True, type=click.Path(path_type=Path),
              help="Bundle to test. May be repeated.")  # fmt: skip
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/step-N or an authors' .pth to test, uncalibrated. "
              "May be repeated.")  # fmt: skip
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", callback=key_values,
              help="Use only clips with this value in DATA's table, such as kind=speech. May be repeated.")  # fmt: skip
@click.option("--offsets", "offsets_per_clip", type=click.IntRange(min=1), default=3, show_default=True,
              help="Injected offsets per clip; also the number of trials with 21 classes.")  # fmt: skip
@click.option("--max-offset-ms", type=click.FloatRange(min=1, max=10_000), default=800.0, show_default=True,
              help="Draw offsets uniformly within ± this.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="Seed of the trials and of the intervals.")  # fmt: skip
@click.option("--write-manifest", "manifest_out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the clips and trials as JSON lines, which repeat the test when given as DATA.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="Model option that the shapes in a .pth do not determine, such as num_heads=12.")  # fmt: skip
@result_options
def sync(
    data: Path,
    bundles: tuple[Path, ...],
    models: tuple[Path, ...],
    only: dict[str, Any],
    offsets_per_clip: int,
    max_offset_ms: float,
    seed: int,
    manifest_out: Path | None,
    overrides: dict[str, Any],
    json_out: Path | None,
    html_out: Path | None,
) -> None:
    """Test models on clips that are in sync or whose offset is known.

    Measured are the error of injected offsets, the choice between a clip and the same clip with shifted audio, the
    choice among 21 offsets within ±2 s, and the calibration of the confidence. Shares have 95 % intervals. The
    baseline, motion energy against loudness, has learned nothing. DATA is a folder of clips, or a manifest of JSON
    lines.
    """
    from cavsync.cli.eval.output import check_outputs, deliver
    from cavsync.errors import DataError
    from cavsync.evaluate.results.provenance import data_id, provenance
    from cavsync.evaluate.sync.cases import sync_cases, truth_files
    from cavsync.evaluate.sync.measure import evaluate_sync
    from cavsync.evaluate.sync.plan import plan_of, write_plans
    from cavsync.evaluate.sync.protocol import sync_protocol
    from cavsync.evaluate.sync.result import sync_result

    check_outputs(json_out, html_out)
    selection = {key: str(value) for key, value in only.items()}
    cases = sync_cases(data, selection)
    opened = _open(bundles, models, overrides)
    drawn: dict[str, Any] = {"offsets_per_clip": offsets_per_clip, "max_offset_ms": max_offset_ms}
    if manifest_out is not None:
        write_plans(manifest_out, cases, [plan_of(case, **drawn, seed=seed) for case in cases])
    tested = {name: bundle for name, (_, bundle) in opened.items()}
    with counting_bar("testing clips") as progress:
        found = evaluate_sync(tested, cases, **drawn, seed=seed, progress=progress)
    for error in found.rejects.values():
        click.echo(f"rejected: {error}", err=True)
    if not found.clips:
        raise DataError(f"No clip of {data} could be tested: see `cavsync data check {data}`.")
    files = [*(case.path for case in cases if case.path.is_file()), *truth_files(data)]
    identity = data_id(data.name, files, data.parent if data.is_file() else data)
    result = sync_result(
        found,
        sync_protocol({name: bundle.manifest for name, bundle in tested.items()}, cases, **drawn, only=selection),
        provenance(models=[model_id for model_id, _ in opened.values()], data=[identity], seed=seed),
    )
    deliver(result, json_out, html_out)


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
