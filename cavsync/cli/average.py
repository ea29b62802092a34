"""`cavsync average`: average the weights of a run's checkpoints."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("average")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to write; absent or empty.")
@click.option("--steps", help="Steps to average, such as 1000,2000; by default every checkpoint of RUN.")
def average(run: Path, out: Path, steps: str | None) -> None:
    """Average the weights of several checkpoints of RUN, and write them as a new run.

    CAV-MAE's recipes average the checkpoints of their last epochs in this way.
    """
    from cavsync.errors import CheckpointError
    from cavsync.model.checkpoint import all_steps
    from cavsync.train.averaging import write_average

    kept = all_steps(run)
    try:
        chosen = kept if steps is None else [int(step) for step in steps.split(",")]
    except ValueError:
        raise click.UsageError(f"--steps is '{steps}': give whole numbers separated by commas.") from None
    if not chosen:
        raise CheckpointError(f"'{run}' has no checkpoint: name a run that `cavsync train` wrote.")
    folder = write_average(run, chosen, out)
    click.echo(f"averaged steps {', '.join(map(str, chosen))} into {folder}")
