"""`cavsync data check`: list the clips that training would reject."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cavsync.cli.errors import ExitStatus, end, stopped_by_signals
from cavsync.cli.progress import counting_bar
from cavsync.file_names import printable

if TYPE_CHECKING:
    from cavsync.data.check import CheckReport

FRAMES_PER_SECOND_OF_AUDIO = 100


@click.command("check")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.option("--frames-per-clip", type=click.IntRange(min=1), default=10, show_default=True,
              help="Frames per clip that a CAV-MAE JSON must hold.")  # fmt: skip
@click.option("--segment-seconds", type=click.FloatRange(min=0, min_open=True), default=0.48, show_default=True,
              help="Audio that a usable frame needs around it.")  # fmt: skip
@click.option("--instants", type=click.IntRange(min=1), default=1, show_default=True,
              help="Usable frames that a clip needs.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Number of processes.")
@click.option(
    "--json", "json_out", type=click.Path(dir_okay=False, path_type=Path), help="Write the findings here, as JSON."
)
def check(
    source: Path, frames_per_clip: int, segment_seconds: float, instants: int, workers: int, json_out: Path | None
) -> None:
    """Load every clip of SRC (a folder of videos or shards, or a CAV-MAE JSON); list those that training would reject.

    After Ctrl-C or SIGTERM the clips that were checked are listed. Exit status 1: at least one clip would be rejected.
    """
    from cavsync.atomic import check_writable, write_text_atomically
    from cavsync.cli.result_files import require_result_files
    from cavsync.data.check import check_source
    from cavsync.data.sampling import SamplePlan
    from cavsync.data.sources.clips import open_source

    if json_out is not None:
        check_writable(json_out)
        require_result_files([json_out])
    segment_frames = max(1, round(segment_seconds * FRAMES_PER_SECOND_OF_AUDIO))
    opened = open_source(source, frames_per_clip=frames_per_clip, segment_frames=segment_frames)
    plan = SamplePlan(segment_frames=segment_frames, num_frames=1, frame_step_seconds=0.04, instants=instants)
    with stopped_by_signals(), counting_bar("checking clips") as progress:
        report = check_source(opened, plan, workers=workers, progress=progress)
    if json_out is not None:
        write_text_atomically(json_out, json.dumps(report.to_dict(), indent=1) + "\n")
    _print(report)
    if report.ended_by is not None:
        raise report.ended_by(f"{len(report.clips)} of {len(opened.names)} clips were checked")
    if report.rejected:
        end(ExitStatus.FAILURE)


def _print(report: CheckReport) -> None:
    usable = len(report.clips) - len(report.rejected)
    click.echo(
        f"{usable} of {len(report.clips)} clips can be used, {sum(c.seconds for c in report.clips):.1f} s in all"
    )
    for reason, count in report.reasons.most_common():
        click.echo(f"{count:6}  {reason}")
    for clip in report.rejected:
        click.echo(printable(f"rejected: {clip.error}"))
