"""Write one shard, in this process or a worker process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread

from cavsync.atomic import atomic_file
from cavsync.data.labels import check_labels
from cavsync.data.shards.index import PackReject, SampleMembers, ShardReport
from cavsync.data.shards.items import Item
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.sample_contents import SampleContents
from cavsync.data.shards.tar_writer import TarWriter
from cavsync.errors import MediaError

Members = list[tuple[str, bytes]]


@dataclass(frozen=True)
class ShardJob:
    """The clips of one tar. `first` is the position of the first of them in the packing order."""

    tar_path: Path
    root: Path
    items: Sequence[Item]
    first: int
    options: PackOptions
    known_labels: frozenset[str] | None


class Stopped(Exception):  # noqa: N818 (not an error: the user stopped the pack)
    """The pack was stopped before this shard was finished."""


class WorkerState:
    """What a worker process shares with its parent: the number of clips done, and whether to stop."""

    done: Synchronized[int] | None = None
    stop: Event | None = None


def start_worker(done: Synchronized[int], stop: Event) -> None:
    """Initialise a worker process, which leaves Ctrl-C to its parent and exits with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    WorkerState.done, WorkerState.stop = done, stop
    Thread(target=_exit_with_parent, daemon=True).start()


def write_shard(job: ShardJob, advance: Callable[[], None] | None = None) -> None:
    """Write the tar and, when it is complete, its index. `advance` is called before each clip; the default, for worker
    processes, counts clips in WorkerState. Raises Stopped if the pack was stopped."""
    advance = advance or _count_clip
    samples: list[SampleMembers] = []
    rejects: list[PackReject] = []
    seconds = 0.0
    job.tar_path.unlink(missing_ok=True)
    with atomic_file(job.tar_path) as stream:
        tar = TarWriter(stream)
        for place, item in enumerate(job.items, start=job.first):
            advance()
            try:
                contents, members = read_members(item, job.root, job.options, job.known_labels)
            except MediaError as error:
                rejects.append(PackReject(name=item_name(item), reason=error.reason, error=str(error)))
                continue
            samples.append(_append(tar, f"{place:09d}", members))
            seconds += contents.seconds
        tar.close()
    if not samples:
        job.tar_path.unlink()
    _report(tar, samples, rejects, seconds).write(job.tar_path)


def read_members(
    item: Item, root: Path, options: PackOptions, known_labels: frozenset[str] | None
) -> tuple[SampleContents, Members]:
    """Read a clip; return it and the tar members that it is written as. Raises MediaError for an unusable clip."""
    name = item_name(item)
    check_labels(item.labels, known_labels, name)
    contents = item.read(root, options)
    members = contents.members(
        source_id=item.id, file=item.file, labels=item.labels, licence=options.licence, where=name
    )
    return contents, members


def item_name(item: Item) -> str:
    """Return the name of a clip in messages."""
    return item.file or item.id


def _append(tar: TarWriter, key: str, members: Members) -> SampleMembers:
    description, audio, *frames = [(tar.add(f"{key}.{suffix}", data), len(data)) for suffix, data in members]
    return SampleMembers(key, description, audio, frames)


def _report(tar: TarWriter, samples: list[SampleMembers], rejects: list[PackReject], seconds: float) -> ShardReport:
    ranges = [(sample.description, sample.audio, *sample.frames) for sample in samples]
    return ShardReport(
        bytes=tar.num_bytes if samples else 0,
        sha256=tar.sha256 if samples else "",
        seconds=seconds,
        rejects=rejects,
        keys=[sample.key for sample in samples],
        members=[len(row) for row in ranges],
        offsets=[offset for row in ranges for offset, _ in row],
        sizes=[size for row in ranges for _, size in row],
    )


def _count_clip() -> None:
    if WorkerState.stop is not None and WorkerState.stop.is_set():
        raise Stopped
    if WorkerState.done is not None:
        with WorkerState.done.get_lock():
            WorkerState.done.value += 1


def _exit_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        # A killed parent can neither collect results nor stop its workers, and nothing is left to clean up.
        os._exit(1)
