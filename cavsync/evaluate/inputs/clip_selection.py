"""Which clips of a source a test takes: those that a list names, or some of each class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from cavsync.data.sources.cav_mae_list import CavMaeList
from cavsync.data.sources.clips import ClipSource
from cavsync.data.sources.listed_videos import ListedVideos
from cavsync.errors import DataError, MediaError
from cavsync.media.files import MEDIA_ENDINGS

# Classes that a note names.
SHOWN = 3


@dataclass(frozen=True)
class Selection:
    """Clips `indices` of a source, why others that were wanted are not among them, and what a reader must know."""

    indices: list[int]
    rejects: dict[str, str]
    notes: list[str]


def clip_name(name: str) -> str:
    """The last part of a source's name for a clip, without the ending of a media file."""
    last = name.rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return stem if dot and f".{ending.lower()}" in MEDIA_ENDINGS else last


def listed_clips(source: ClipSource, among: Selection, only: Path) -> Selection:
    """Clips in the order of a CAV-MAE JSON, each once. DataError where none is there."""
    listed = [entry["video_id"] for entry in CavMaeList.read(only, frames_per_clip=0, segment_frames=0).entries]
    wanted = list(dict.fromkeys(listed))
    places: dict[str, int] = {}
    for index in among.indices:
        places.setdefault(clip_name(source.names[index]), index)
    found = [places[name] for name in wanted if name in places]
    if not found:
        raise DataError(
            f"None of the {len(wanted)} clips of {only} is among the data (the first is {wanted[0]}): "
            "name the files by their video_id"
        )
    missing = {name: f"{name} is on the list and not among the data" for name in wanted if name not in places}
    notes = list(among.notes)
    if len(listed) > len(wanted):
        notes.append(f"{only.name} names {len(listed) - len(wanted)} clips again: each counts once.")
    return Selection(found, among.rejects | missing, notes)


def clips_per_class(
    source: ClipSource, among: Selection, per_class: int, seed: int
) -> tuple[Selection, dict[str, JsonValue]]:
    """`per_class` clips of each class, fewer where there are no more, among those whose files are there; no clip twice.

    Also how many classes got how many clips. Raises DataError where no clip has a class or files.
    """
    by_class: dict[str, list[int]] = {}
    rejects = dict(among.rejects)
    for index in among.indices:
        problem = _problem(source, index)
        if problem is not None:
            rejects[source.names[index]] = problem
        for label in source.labels(index):
            by_class.setdefault(label, []).extend([] if problem else [index])
    if not by_class:
        raise DataError("None of the clips has a class: leave --per-class out, or give a list that names classes")
    random = np.random.default_rng(seed)
    chosen: set[int] = set()
    sizes: dict[str, int] = {}
    for label in sorted(by_class):
        left = [index for index in by_class[label] if index not in chosen]
        drawn = {left[place] for place in random.permutation(len(left))[:per_class]}
        chosen |= drawn
        sizes[label] = len(drawn)
    if not chosen:
        raise DataError(f"None of the clips can be read ({next(iter(rejects.values()))}): check the folders")
    selection = replace(among, indices=sorted(chosen), rejects=rejects)
    short = [label for label, size in sizes.items() if size < per_class]
    if short:
        shown = ", ".join(short[:SHOWN]) + (" ..." if len(short) > SHOWN else "")
        note = f"{len(short)} of {len(sizes)} classes have fewer than {per_class} usable clips ({shown})."
        selection = replace(selection, notes=[*among.notes, note])
    counted = Counter(sizes.values())
    return selection, {str(size): counted[size] for size in sorted(counted, reverse=True)}


def _problem(source: ClipSource, index: int) -> str | None:
    """Why a clip cannot be read, as far as the presence of its files tells."""
    if isinstance(source, ListedVideos | CavMaeList):
        try:
            source.check_files(index)
        except MediaError as error:
            return str(error)
    return None
