"""The clips of a test: which source, which of its clips, how many frames of each, and their identity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from cavsync.data.listed_videos import ListedVideos
from cavsync.data.source import CavMaeJson, ClipSource, open_source
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.provenance import data_id
from cavsync.evaluate.result import DataId
from cavsync.evaluate.source_files import source_files
from cavsync.media.files import MEDIA_ENDINGS

# CAV-MAE Sync extracts as many frames of a clip.
DEFAULT_FRAMES = 16


@dataclass(frozen=True)
class EvalClips:
    """Clips `indices` of `source`, with `frames` frames of each. `data` names and hashes what they are read from;
    `missing` are the ids that a list names and the source lacks; `selection` says how the clips were chosen."""

    source: ClipSource
    indices: list[int]
    frames: int
    data: DataId
    missing: list[str]
    selection: dict[str, JsonValue]

    @property
    def names(self) -> list[str]:
        """Id of each clip: the last part of its name, without the ending of a media file."""
        return [clip_name(self.source.names[index]) for index in self.indices]


def open_retrieval_clips(
    data: Path,
    *,
    segment_frames: int,
    frames: int | None = None,
    media: Path | None = None,
    only: Path | None = None,
    split: str | None = None,
    per_class: int | None = None,
    seed: int = 0,
) -> EvalClips:
    """Open a folder of videos or shards, a CAV-MAE JSON, or a VGGSound or AudioSet CSV beside the folder `media`.

    frames: per clip; by default 16, or as many as a CAV-MAE JSON has. only: a CAV-MAE JSON, such as the published
    lists of five clips per class, whose `video_id`s choose among the clips. split: rows of a VGGSound CSV. per_class:
    that many clips of each class, drawn with `seed`; for lists that name classes.
    Raises DataError or ConfigError for data, lists and options that do not fit.
    """
    if data.suffix.lower() == ".csv":
        if media is None:
            raise ConfigError(f"{data} is a list: give the folder of its videos with --media.")
        source: ClipSource = ListedVideos.open(data, media, split=split)
    elif media is not None or split is not None:
        raise ConfigError(f"{data} is no .csv: leave --media and --split out.")
    else:
        if frames is None and data.suffix.lower() == ".json":
            frames = _frames_on_disk(data)
        source = open_source(data, frames_per_clip=frames or DEFAULT_FRAMES, segment_frames=segment_frames)
    indices, missing = list(range(len(source.names))), list[str]()
    if only is not None:
        indices, missing = _listed(source, indices, only)
    if per_class is not None:
        indices = _per_class(source, indices, per_class, seed)
    selection: dict[str, JsonValue] = {
        "list": None if only is None else only.name,
        "split": split,
        "per_class": per_class,
        "seed": seed if per_class is not None else None,
    }
    files = [*source_files(source, indices), *(path for path in (data, only) if path is not None and path.is_file())]
    identity = data_id(data.name, files, data if data.is_dir() else media or data.parent)
    return EvalClips(source, indices, frames or DEFAULT_FRAMES, identity, missing, selection)


def clip_name(name: str) -> str:
    """The last part of a source's name for a clip, without the ending of a media file."""
    last = name.rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return stem if dot and f".{ending.lower()}" in MEDIA_ENDINGS else last


def _frames_on_disk(path: Path) -> int:
    """How many frames the first clip of a CAV-MAE JSON has; the others must have as many."""
    first = CavMaeJson.read(path, frames_per_clip=0, segment_frames=0)
    found = first.count_frames(0)
    if not found:
        raise DataError(f"{first.names[0]} has no frame_0: extract the frames, or correct its video_path")
    return found


def _listed(source: ClipSource, indices: list[int], only: Path) -> tuple[list[int], list[str]]:
    """Clips in the order of the list, and the names that are not there. DataError where none is there."""
    wanted = [entry["video_id"] for entry in CavMaeJson.read(only, frames_per_clip=0, segment_frames=0).entries]
    places: dict[str, int] = {}
    for index in indices:
        places.setdefault(clip_name(source.names[index]), index)
    found = [places[name] for name in wanted if name in places]
    if not found:
        raise DataError(
            f"None of the {len(wanted)} clips of {only} is among the data (the first is {wanted[0]}): "
            "name the files by their video_id"
        )
    return found, [name for name in wanted if name not in places]


def _per_class(source: ClipSource, indices: list[int], per_class: int, seed: int) -> list[int]:
    """`per_class` clips of each class, fewer where there are no more; no clip twice."""
    by_class: dict[str, list[int]] = {}
    for index in indices:
        for label in source.labels(index):
            by_class.setdefault(label, []).append(index)
    if not by_class:
        raise DataError("None of the clips has a class: leave --per-class out, or give a list that names classes")
    random = np.random.default_rng(seed)
    chosen: set[int] = set()
    for label in sorted(by_class):
        left = [index for index in by_class[label] if index not in chosen]
        chosen |= {left[place] for place in random.permutation(len(left))[:per_class]}
    return sorted(chosen)
