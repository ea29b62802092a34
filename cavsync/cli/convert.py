"""`cavsync convert`: convert a checkpoint of the public CAV-MAE or CAV-MAE Sync code into a run."""

from pathlib import Path
from typing import Any

import click

from cavsync.cli.options import key_values


@click.command("convert")
@click.argument("upstream", metavar="UPSTREAM.pth", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to write; absent or empty.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    callback=key_values,
    help="Model option that shapes do not determine, such as num_heads=12, decoder_num_heads=16 or norm_pix_loss=true.",
)
def convert(upstream: Path, out: Path, overrides: dict[str, Any]) -> None:
    """Convert a checkpoint of the CAV-MAE or CAV-MAE Sync authors into a run folder.

    Loading is strict: every tensor must match one of the model. Nothing in the file is executed.
    """
    from cavsync.atomic import require_new_folder
    from cavsync.model.checkpoint import save_model
    from cavsync.model.upstream import open_upstream

    require_new_folder(out, "choose another --out")
    info, model = open_upstream(upstream, **overrides)
    folder = save_model(model, out, step=0, source=info.source())
    kind = "pretraining model" if info.label_dim is None else f"classifier of {info.label_dim} labels"
    click.echo(f"sha256       {info.sha256}")
    click.echo(f"fingerprint  {info.fingerprint}")
    click.echo(f"model        {kind}, {info.num_tensors} tensors, {info.num_parameters / 1e6:.2f} M parameters")
    click.echo(f"written      {folder}")
