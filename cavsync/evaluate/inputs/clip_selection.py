"""Select the clips of a test from a source: those of a list, or a number of each class."""

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
from cavsync.file_names import legible
from cavsync.media.files import MEDIA_ENDINGS

# Number of classes that a note lists by name.
NAMED_CLASSES = 3


@dataclass(frozen=True)
class ClipSelection:
    """Clips `indices` of a source. rejects: wanted clip -> why it is left out. notes: sentences for readers of the
    result."""

    indices: list[int]
    rejects: dict[str, str]
    notes: list[str]


def clip_name(name: str) -> str:
    """Return the id of a clip: the last part of its name in the source, without the ending of a media file."""
    last = legible(name).rpartition("/")[2]
    stem, dot, ending = last.rpartition(".")
    return stem if dot and f".{ending.lower()}" in MEDIA_ENDINGS else last


def listed_clips(source: ClipSource, among: ClipSelection, only: Path) -> ClipSelection:
    """Select the clips `among` the source's that a CAV-MAE JSON lists, in its order, each once.

    Raises DataError for a damaged or empty list, or one with none of the clips.
    """
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
        notes.append(f"{only.name} repeats {len(listed) - len(wanted)} clips: each counts once.")
    return ClipSelection(found, among.rejects | missing, notes)


def clips_per_class(
    source: ClipSource, among: ClipSelection, per_class: int, seed: int
) -> tuple[ClipSelection, dict[str, JsonValue]]:
    """Draw `per_class` clips of each class with `seed`, fewer if a class has fewer, from the clips whose files exist;
    no clip is drawn for two classes.

    Returns the selection, and the number of classes by number of clips. Raises DataError if no clip has a class, or
    none has its files.
    """
    by_class: dict[str, list[int]] = {}
    rejects = dict(among.rejects)
    for index in among.indices:
        problem = _problem(source, index)
        if problem is not None:
            rejects[legible(source.names[index])] = problem
        for label in source.labels(index):
            by_class.setdefault(label, []).extend([] if problem else [index])
    if not by_class:
        raise DataError("None of the clips has a class: leave --per-class out, or give a list with classes")
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
        shown = ", ".join(short[:NAMED_CLASSES]) + (" ..." if len(short) > NAMED_CLASSES else "")
        note = f"{len(short)} of {len(sizes)} classes have fewer than {per_class} usable clips ({shown})."
        selection = replace(selection, notes=[*among.notes, note])
    counted = Counter(sizes.values())
    return selection, {str(size): counted[size] for size in sorted(counted, reverse=True)}


def _problem(source: ClipSource, index: int) -> str | None:
    """Return why a clip cannot be read, judged by which files exist; None for no problem."""
    if isinstance(source, ListedVideos | CavMaeList):
        try:
            source.check_files(index)
        except MediaError as error:
            return str(error)
    return None
