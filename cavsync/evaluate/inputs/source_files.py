"""The files that the clips of a source are read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cavsync.data.shards import ShardFolder
from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.data.sources.clips import ClipSource
from cavsync.evaluate.results.provenance import relative_name


def source_files(source: ClipSource, indices: Sequence[int], root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and path of every existing file of the clips `indices`; clips with missing files are rejected when
    they are read.

    A name is the path below `root`, or, for a CAV-MAE list, whose paths are of one machine, the clip's id and the
    file's role.
    """
    if isinstance(source, CavMaeList):
        for index in indices:
            yield from _listed_files(source, index)
        return
    if isinstance(source, ShardFolder):
        paths = [Path(path) for path in source.files.paths]
    else:
        paths = [path for path in (Path(source.names[index]) for index in indices) if path.is_file()]
    yield from ((relative_name(path, root), path) for path in paths)


def _listed_files(source: CavMaeList, index: int) -> Iterator[tuple[str, Path]]:
    clip, audio = source.entries[index]["video_id"], Path(source.entries[index]["wav"])
    for number in range(source.count_frames(index)):
        yield f"{clip}/frame_{number}", source.frame_path(index, number)
    if audio.is_file():
        yield f"{clip}/sound", audio
