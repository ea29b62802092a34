"""`cavsync data av-syncbench`: AV-SyncBench's global offsets as a manifest for `cavsync eval sync`."""

from __future__ import annotations

from pathlib import Path

import click


def _columns(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Parse `video=COLUMN` over the published names."""
    from cavsync.evaluate.sync.av_syncbench import COLUMNS

    columns = dict(COLUMNS)
    for value in values:
        name, separator, column = value.partition("=")
        if name not in COLUMNS or not separator or not column:
            raise click.BadParameter(
                f"'{value}' is not of the form NAME=COLUMN with NAME one of {', '.join(COLUMNS)}.", context, parameter
            )
        columns[name] = column
    return columns


@click.command("av-syncbench")
@click.argument("metadata", metavar="METADATA.jsonl", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="New folder for manifest.jsonl, and for copies of the videos whose sound is a file of its "
              "own.")  # fmt: skip
@click.option("--column", "columns", multiple=True, metavar="NAME=COLUMN", callback=_columns,
              help="Column of METADATA that holds video, sound, edited, edit, task, offset, direction, attribute, kind "
              "or group, if it is not the published one. May be repeated.")  # fmt: skip
@click.option("--edit", "edits", multiple=True, metavar="NAME",
              help="Edit that shifts the sound. May be repeated; by default time_shifted and "
              "global_offset.")  # fmt: skip
@click.option("--with-offsets", is_flag=True,
              help="Also test copies of the videos with each pair's offset put in. Without them, only the choice "
              "between in sync and shifted is tested.")  # fmt: skip
def av_syncbench(
    metadata: Path, out: Path, columns: dict[str, str], edits: tuple[str, ...], with_offsets: bool
) -> None:
    """Write a manifest of AV-SyncBench's videos, with their scenario as kind, for `cavsync eval sync`.

    METADATA is the benchmark's list of pairs; its paths are relative to its folder. The two choices of `eval sync` are
    the benchmark's: 50 to 500 ms, either way. Pairs with other edits (jitter, speed, another voice or instrument) have
    no offset: they are left out and counted.
    """
    import os

    from cavsync.atomic import require_new_folder
    from cavsync.errors import MediaError
    from cavsync.evaluate.sync.av_syncbench import SHIFTS, read_pairs
    from cavsync.evaluate.sync.files.swapped_file import write_joined_file
    from cavsync.evaluate.sync.trial_list import write_trial_list
    from cavsync.file_names import printable

    pairs = read_pairs(metadata, columns, edits or SHIFTS)
    require_new_folder(out, "choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    root = metadata.resolve().parent
    lines = []
    for number, video in enumerate(pairs.videos):
        file = root / video.path
        try:
            if video.sound is not None:
                file = out.resolve() / "clips" / str(number) / f"{video.path.stem}.mkv"
                file.parent.mkdir(parents=True)
                write_joined_file(root / video.path, root / video.sound, file)
        except MediaError as error:
            click.echo(printable(f"rejected: {error}"), err=True)
            continue
        path = Path(os.path.relpath(file, out.resolve())).as_posix()
        lines.append(video.line(path, with_offsets=with_offsets))
    write_trial_list(out / "manifest.jsonl", lines)
    click.echo(f"{len(lines)} videos of {pairs.num_pairs} pairs that shift the sound are in {out / 'manifest.jsonl'}")
    for edit, count in pairs.left_out.most_common():
        click.echo(printable(f"{count:6}  pairs of the edit {edit} left out"))
