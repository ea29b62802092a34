"""Write one shard, in this process or a worker process."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from cavsync.atomic import atomic_file
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.labels import check_labels
from cavsync.data.shards.flac import encode_flac
from cavsync.data.shards.index import PackReject, SampleMembers, ShardIndex, ShardReport
from cavsync.data.shards.items import Item
from cavsync.data.shards.jpeg import jpeg_size
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.record import FACES_SUFFIX, FLAC_SUFFIX, JSON_SUFFIX, SampleRecord, frame_suffix
from cavsync.data.shards.tar_writer import TarWriter
from cavsync.errors import MediaError
from cavsync.file_names import legible
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.worker_process import leave_stopping_to_parent

Members = list[tuple[str, bytes]]


@dataclass(frozen=True)
class PackedClips:
    """Clips in the order in which they are packed, whose files are below `root`; labels must be `known_labels`, if
    given. `open_finder` opens the face finder where the options ask for faces."""

    root: Path
    items: Sequence[Item]
    options: PackOptions
    known_labels: frozenset[str] | None
    open_finder: OpenFinder | None = None

    def read(self, item: Item) -> tuple[float, Members]:
        """Read a clip; return the seconds of its audio, and (suffix, content) of each member in the order of the tar:
        description, audio, frames, face track. Raises MediaError for an unusable clip."""
        name = item.file or item.id
        check_labels(item.labels, self.known_labels, name)
        contents = item.read(self.root, self.options, self.open_finder)
        flac = encode_flac(contents.samples)
        width, height = jpeg_size(contents.frames[0], name)
        record = SampleRecord(
            id=legible(item.id),
            file=legible(item.file),
            licence=self.options.licence,
            labels=item.labels,
            cut_seconds=contents.cut_seconds,
            segment_rule="index" if contents.by_index else "time",
            pts_seconds=tuple(contents.pts_seconds.tolist()),
            audio_start_seconds=contents.audio_start_seconds,
            width=width,
            height=height,
            audio_samples=len(contents.samples),
            crc32=tuple(zlib.crc32(data) for data in (flac, *contents.frames)),
        )
        frames = [(frame_suffix(number), data) for number, data in enumerate(contents.frames)]
        members = [(JSON_SUFFIX, record.model_dump_json().encode()), (FLAC_SUFFIX, flac), *frames]
        if contents.faces is not None:
            members.append((FACES_SUFFIX, contents.faces))
        return len(contents.samples) / SAMPLE_RATE_HZ, members


@dataclass(frozen=True)
class ShardJob:
    """The clips of one tar. `first` is the position of the first of them in the packing order."""

    tar_path: Path
    clips: PackedClips
    first: int


class Stopped(Exception):  # noqa: N818 (not an error: the user stopped the pack)
    """The pack was stopped before this shard was finished."""


class WorkerState:
    """The state that a worker process shares with its parent: the number of clips done, and whether to stop."""

    done: Synchronized[int] | None = None
    stop: Event | None = None


def start_worker(done: Synchronized[int], stop: Event) -> None:
    """Initialise a worker process, which leaves Ctrl-C to its parent and exits with it."""
    leave_stopping_to_parent()
    WorkerState.done, WorkerState.stop = done, stop


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
        for place, item in enumerate(job.clips.items, start=job.first):
            advance()
            try:
                clip_seconds, members = job.clips.read(item)
            except MediaError as error:
                rejects.append(PackReject(name=legible(item.file or item.id), reason=error.reason, error=str(error)))
                continue
            samples.append(_append(tar, f"{place:09d}", members))
            seconds += clip_seconds
        tar.close()
    if not samples:
        job.tar_path.unlink()
    index = ShardIndex.of(samples)
    ShardReport(
        bytes=tar.num_bytes if samples else 0,
        sha256=tar.sha256 if samples else "",
        seconds=seconds,
        rejects=rejects,
        keys=index.keys,
        members=np.diff(index.first).tolist(),
        offsets=index.ranges[:, 0].tolist(),
        sizes=index.ranges[:, 1].tolist(),
        face_offsets=index.faces[:, 0].tolist(),
        face_sizes=index.faces[:, 1].tolist(),
    ).write(job.tar_path)


def _append(tar: TarWriter, key: str, members: Members) -> SampleMembers:
    places = {suffix: (tar.add(f"{key}.{suffix}", data), len(data)) for suffix, data in members}
    faces = places.pop(FACES_SUFFIX, None)
    description, audio, *frames = places.values()
    return SampleMembers(key, description, audio, frames, faces)


def _count_clip() -> None:
    if WorkerState.stop is not None and WorkerState.stop.is_set():
        raise Stopped
    if WorkerState.done is not None:
        with WorkerState.done.get_lock():
            WorkerState.done.value += 1
