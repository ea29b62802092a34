"""`cavsync eval sync`: what a model knows about time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.eval.output import result_options
from cavsync.cli.options import key_values

if TYPE_CHECKING:
    from cavsync.deploy import Bundle
    from cavsync.evaluate.results.result import ModelId


@click.command("sync")
@click.argument("data", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--bundle", "bundles", multiple=True, type=click.Path(path_type=Path),
              help="Bundle to test; several are tested side by side.")  # fmt: skip
@click.option("--model", "models", multiple=True, type=click.Path(path_type=Path),
              help="RUN, RUN/checkpoints/step-N or an authors' .pth to test, without a calibration.")  # fmt: skip
@click.option("--only", multiple=True, metavar="COLUMN=VALUE", callback=key_values,
              help="Take the clips with this value in DATA's table, such as kind=speech.")  # fmt: skip
@click.option("--offsets", "offsets_per_clip", type=click.IntRange(min=1), default=3, show_default=True,
              help="Injected offsets per clip, and classes.")  # fmt: skip
@click.option("--max-offset-ms", type=click.FloatRange(min=1, max=10_000), default=800.0, show_default=True,
              help="Offsets are drawn uniformly in ± this.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--write-manifest", "manifest_out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the clips and trials as JSON lines, to be given as DATA again.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", callback=key_values,
              help="A model option that the shapes of a .pth cannot tell, such as num_heads=12.")  # fmt: skip
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
    """Test models on clips whose true offset is known, or that are in sync: how near injected offsets are found, which
    of two, the clip or the clip with its audio shifted, is taken to be in sync, which of 21 offsets within ±2 s it has,
    and what the confidence is worth.

    DATA is a folder of clips, or a manifest of JSON lines. Shares come with 95 % intervals; motion energy against
    loudness, which learns nothing, stands beside them.
    """
    from rich.console import Console
    from rich.progress import Progress

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
    options = {"offsets_per_clip": offsets_per_clip, "max_offset_ms": max_offset_ms, "seed": seed}
    if manifest_out is not None:
        plans = [plan_of(case, **options) for case in cases]  # type: ignore[arg-type]
        write_plans(manifest_out, cases, plans)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("testing clips", total=len(cases))
        found = evaluate_sync(
            {name: bundle for name, (_, bundle) in opened.items()},
            cases,
            offsets_per_clip=offsets_per_clip,
            max_offset_ms=max_offset_ms,
            seed=seed,
            progress=lambda done, _total: progress.update(task, completed=done),
        )
    for error in found.rejects.values():
        click.echo(f"rejected: {error}", err=True)
    if not found.clips:
        raise DataError(f"No clip of {data} could be tested: see `cavsync data check {data}`.")
    files = [*(case.path for case in cases if case.path.is_file()), *truth_files(data)]
    identity = data_id(data.name, files, data.parent if data.is_file() else data)
    result = sync_result(
        found,
        sync_protocol(
            {name: bundle.manifest for name, (_, bundle) in opened.items()},
            cases,
            offsets_per_clip=offsets_per_clip,
            max_offset_ms=max_offset_ms,
            only=selection,
        ),
        provenance(models=[model_id for model_id, _ in opened.values()], data=[identity], seed=seed),
    )
    deliver(result, json_out, html_out)


def _open(
    bundles: tuple[Path, ...], models: tuple[Path, ...], overrides: dict[str, Any]
) -> dict[str, tuple[ModelId, Bundle]]:
    """What is tested, by name: the folder's own where that tells them apart, else the whole path."""
    from cavsync.deploy import Bundle
    from cavsync.evaluate.inputs.encoders import bundle_id

    paths = (*bundles, *models)
    if not paths:
        raise click.UsageError("There is nothing to test: give --bundle or --model.")
    if overrides and not models:
        raise click.UsageError("--set changes a --model, and there is none: leave it out.")
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
