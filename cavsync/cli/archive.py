"""`cavsync archive`: score many files on a Ray cluster into a Parquet data set."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import ExitStatus, end, print_error, stopped_by_signals
from cavsync.cli.progress import counting_bar
from cavsync.cli.scoring import bundle_option, worker_scoring_options
from cavsync.errors import CavsyncError
from cavsync.file_names import is_address, printable

if TYPE_CHECKING:
    from cavsync.deploy import ScoringOptions
    from cavsync.deploy.archive.data_set import DataSet
    from cavsync.deploy.archive.rows import FileRows
    from cavsync.deploy.archive.setup import Setup
    from cavsync.deploy.archive.sources import Found
    from cavsync.deploy.archive.worker_pool import WorkerSpec
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords

REPORT = "report.html"


def _workers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int | None, int | None]:
    """Parse --workers: N, or N-M."""
    if value is None:
        return None, None
    found = re.fullmatch(r"([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?", value)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise click.BadParameter(f"{value!r} is not a number of workers: give N, or N-M for at least N and at most M.")
    return int(found[1]), int(found[2] or found[1])


def _folder(_: click.Context, __: click.Parameter, value: str) -> Path:
    """Take OUT, which is no address: parts are renamed there when they are whole."""
    if is_address(value):
        raise click.BadParameter(f"{value} is an address: give a folder of this machine, and copy it there when done.")
    return Path(value)


@click.command("archive")
@click.argument("src", metavar="SRC")
@click.argument("out", metavar="OUT", callback=_folder)
@bundle_option
@click.option("--column", default="path", show_default=True, metavar="NAME",
              help="Column of a CSV or Parquet table that holds the paths or addresses.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Continue the archive in OUT: score only files that are new, have changed or failed. SRC and the "
              "options that change scores must be the same.")  # fmt: skip
@click.option("--address", envvar="RAY_ADDRESS", show_envvar=True, metavar="HOST:PORT",
              help="Ray cluster to use; by default one is started on this machine for the command.")  # fmt: skip
@click.option("--workers", callback=_workers, metavar="N[-M]",
              help="Number of workers. With N-M it grows from N to M while all are busy, so that an autoscaling "
              "cluster grows.  [default: as many as the cluster has room for]")  # fmt: skip
@click.option("--cpus-per-worker", type=click.IntRange(min=1), default=1, show_default=True,
              help="CPUs of each worker, and threads of its model.")  # fmt: skip
@click.option("--gpus-per-worker", type=click.FloatRange(min=0), default=0.0, show_default=True,
              help="GPUs of each worker, such as 0.5 of one; needs an --engine that uses a GPU.")  # fmt: skip
@click.option("--streams", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Files that a worker scores at a time, with their embeddings in common batches. Useful on a GPU; it "
              "changes scores by rounding.")  # fmt: skip
@click.option("--memory-mb", type=click.IntRange(min=256), default=4096, show_default=True,
              help="Memory limit of a worker's scoring process; a file that exceeds it fails.")  # fmt: skip
@click.option("--stall-seconds", type=click.FloatRange(min=1), default=300.0, show_default=True,
              help="Time without progress after which a file fails.")  # fmt: skip
@worker_scoring_options
def archive(
    src: str,
    out: Path,
    bundle: Path | None,
    column: str,
    resume: bool,
    address: str | None,
    workers: tuple[int | None, int | None],
    cpus_per_worker: int,
    gpus_per_worker: float,
    streams: int,
    memory_mb: int,
    stall_seconds: float,
    scoring: ScoringOptions,
    engine: EngineKeywords,
) -> None:
    """Score the files of SRC on the workers of a Ray cluster, into the Parquet data set OUT.

    SRC is a folder, a list (.txt), a table (.csv, .parquet), or the address of one of these or of a prefix of an object
    store (s3://, gs://, http://). OUT gets the tables verdicts, windows and events, with every file once, and
    report.html. A file that crashes, hangs or takes too much memory does not affect the others. After Ctrl-C, SIGTERM,
    a crash or a full disk, --resume continues. Exit status 1: a file or the bundle could not be used.
    """
    from cavsync.deploy.archive.addresses import local_name, shown
    from cavsync.deploy.archive.data_set import data_set
    from cavsync.deploy.archive.setup import settings_of
    from cavsync.deploy.archive.sources import find_sources
    from cavsync.deploy.archive.worker_pool import WorkerSpec

    spec = WorkerSpec(*workers, cpus_per_worker, gpus_per_worker, can_grow=address is not None)
    limits = {"streams": streams, "memory_mb": memory_mb, "stall_seconds": stall_seconds}
    setup, manifest = _setup(bundle, {**engine, "threads": cpus_per_worker}, scoring, spec, limits)
    src = local_name(src)
    place = shown(src) if is_address(src) else str(Path(src).absolute())
    # Before anything is written: a wrong SRC leaves no OUT behind.
    found = find_sources(src, column)
    if found.num_duplicates:
        names = "1 name was" if found.num_duplicates == 1 else f"{found.num_duplicates} names were"
        click.echo(f"{names} left out: other names of the same files came before", err=True)
    with data_set(out, place, settings_of(setup, manifest), resume=resume) as data:
        stopped = _score(data, found, setup, spec, address)
        data.flush()
        num_failed = _finish(data)
    if stopped is not None:
        raise stopped
    if num_failed:
        end(ExitStatus.FAILURE)


def _setup(
    path: Path | None, engine: EngineKeywords, scoring: ScoringOptions, spec: WorkerSpec, limits: dict[str, Any]
) -> tuple[Setup, Any]:
    """Check what can be checked here: a worker of a cluster may have a GPU that this machine has not."""
    from cavsync.deploy.archive.setup import Setup, digest
    from cavsync.deploy.runtime.default_bundle import default_bundle
    from cavsync.deploy.runtime.engines import AUTO, GPU_RUNTIMES
    from cavsync.manifest import read_manifest

    name = engine["engine"].partition(":")[0]
    if name == AUTO:
        raise click.UsageError(f"--engine {AUTO} may be another engine on each machine: name one.")
    if spec.gpus and name not in GPU_RUNTIMES:
        raise click.UsageError(f"--gpus-per-worker needs --engine {' or '.join(GPU_RUNTIMES)}, {name} uses none.")
    folder = (default_bundle() if path is None else path).absolute()
    manifest = read_manifest(folder)
    scoring.check(manifest)
    return Setup(folder, digest(manifest), engine, scoring, **limits), manifest


def _score(data: DataSet, found: Found, setup: Setup, spec: WorkerSpec, address: str | None) -> BaseException | None:
    """Score what OUT does not have. Returns what ended it early: a signal, or an error that all files would meet."""
    from cavsync.deploy.archive.cluster import cluster
    from cavsync.deploy.archive.rows import failed
    from cavsync.deploy.archive.setup import packed
    from cavsync.deploy.archive.worker_pool import WorkerPool

    wanted = data.wanted(found.sources)
    if len(wanted) < len(found.sources):
        num_before = len(found.sources) - len(wanted)
        click.echo(f"{num_before} of {len(found.sources)} files were scored before", err=True)
    for folder, error in found.unreadable:
        data.add(failed(folder, error))
        print_error(error)
    if not wanted:
        return None
    try:
        # Signals on both sides: Ray sets a handler of its own.
        with stopped_by_signals(), cluster(address) as ray, stopped_by_signals() as check:
            content = None if address is None else packed(setup.bundle)
            try:
                _take_all(data, WorkerPool(ray, spec, setup, content).run(wanted), found.num_rows, check)
            except KeyboardInterrupt:
                # Ray replaces what the signal raises by an exception of its own.
                check()
                raise
    except KeyboardInterrupt as interrupt:
        text = f"{data.num_files} of {found.num_rows} files are in {data.folder}; --resume continues with the rest"
        return type(interrupt)(text)
    except CavsyncError as error:
        return error
    return None


def _take_all(data: DataSet, results: Iterator[FileRows | None], num_sources: int, check: Callable[[], None]) -> None:
    """Keep the rows as they come, and name the files that failed."""
    with counting_bar("archive") as count:
        for rows in results:
            check()
            if rows is None:
                data.flush_if_due()
                continue
            data.add(rows)
            if rows.error is not None:
                print_error(rows.error)
            count(data.num_files, num_sources)


def _finish(data: DataSet) -> int:
    """Write the report and print the totals; returns the number of files that failed."""
    from cavsync.atomic import atomic_file
    from cavsync.deploy.archive.data_set import room_in
    from cavsync.deploy.archive.report import COLUMNS, archive_page, overview_of
    from cavsync.deploy.files.row import FAILED

    overview = overview_of(data.verdicts(COLUMNS))
    if not data.num_files:
        return 0
    with room_in(data.folder), atomic_file(data.folder / REPORT) as stream:
        stream.writelines(part.encode("utf-8") for part in archive_page(overview, data.provenance))
    click.echo(printable(f"{data.num_files} files, {overview.hours:.1f} hours: {overview.sentence()}"))
    return overview.counts[FAILED]
