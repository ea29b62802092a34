"""The files that the clips of a source are read from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cavsync.data.shards import ShardFolder
from cavsync.data.source import CavMaeJson, ClipSource


def source_files(source: ClipSource, indices: Sequence[int]) -> Iterator[Path]:
    """Files of the clips `indices`, as far as they are there; what is missing will be rejected when it is read."""
    if isinstance(source, ShardFolder):
        yield from map(Path, source.files.paths)
    elif isinstance(source, CavMaeJson):
        for index in indices:
            wanted = [source.frame_path(index, number) for number in range(source.frames_per_clip)]
            yield from (path for path in (*wanted, Path(source.entries[index]["wav"])) if path.is_file())
    else:
        yield from (path for path in (Path(source.names[index]) for index in indices) if path.is_file())
