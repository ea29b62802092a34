"""AV-SyncBench's global offsets as a manifest of a sync test.

The benchmark (arXiv 2607.00726) is a JSON Lines file of pairs: a video, and its sound after an edit. The columns are
those of its published documentation (docs/DATA_FORMAT.md of its repository). Edits that shift the sound become offsets
of the video; what else is done to the sound or the picture is no offset.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from cavsync.errors import DataError
from cavsync.evaluate.sync.trial_list import MAX_OFFSET_MS, TrialListLine

COLUMNS = {
    "video": "original_video",
    "sound": "original_audio",
    "edited": "edited_audio",
    "edit": "edit_type",
    "task": "task_type",
    "offset": "offset_ms",
    "direction": "direction",
    "attribute": "target_attribute",
    "kind": "category",
    "group": "video_id",
}
"""What is read -> the column's name in the published files."""
SHIFTS = ("time_shifted", "global_offset")
"""Values of the edit, or of the task where no edit is named, that mean a shift."""
SOURCE = "AV-SyncBench"
SIGNS = {"advance": 1.0, "delay": -1.0}
_MILLISECONDS = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*ms\b", re.IGNORECASE)
_DIRECTION = re.compile(r"(?<![a-z])(advance|delay)(?:d|ed)?(?![a-z])", re.IGNORECASE)


@dataclass
class ShiftedVideo:
    """A video with the offsets (> 0: the audio is early) that its pairs put in; `sound` is a file of its own sound,
    None where that is the video's."""

    path: PurePosixPath
    sound: PurePosixPath | None
    kind: str
    group: str
    offsets_ms: set[float] = field(default_factory=set)

    def line(self, path: str, *, with_offsets: bool) -> TrialListLine:
        """Return its line of a manifest, in which its file is at `path`."""
        offsets_ms = sorted(self.offsets_ms, key=lambda offset: (abs(offset), offset)) if with_offsets else []
        return TrialListLine(
            path=path, kind=self.kind, source=SOURCE, group=self.group, injected_offsets_ms=(0.0, *offsets_ms)
        )


@dataclass(frozen=True)
class Pairs:
    """The videos of the pairs that shift the sound, how many pairs those are, and the others by their edit."""

    videos: list[ShiftedVideo]
    num_pairs: int
    left_out: Counter[str]


def read_pairs(path: Path, columns: Mapping[str, str] = COLUMNS, shifts: Sequence[str] = SHIFTS) -> Pairs:
    """Read the pairs of a file whose paths are relative to its folder.

    columns: as `COLUMNS`. An offset without a column of its own is read from the attribute or from the edited file's
    name ("50ms delay"), and so is its direction. Raises DataError for a file that cannot be read, and names the first
    line that says no video or no offset, or whose path leads out of the folder.
    """
    videos: dict[PurePosixPath, ShiftedVideo] = {}
    left_out: Counter[str] = Counter()
    num_pairs = 0
    for number, record in _records(path):
        text = {name: str(record.get(column) or "") for name, column in columns.items()}
        edit = text["edit"] or text["task"] or "none named"
        if edit not in shifts:
            left_out[edit] += 1
            continue
        where = f"Line {number} of {path}"
        place = _inside(text["video"], where, columns["video"])
        sound = _inside(text["sound"], where, columns["sound"]) if text["sound"] else None
        video = videos.setdefault(
            place,
            ShiftedVideo(place, sound, text["kind"] or "clips", text["group"] or place.with_suffix("").as_posix()),
        )
        video.offsets_ms.add(_offset_ms(record, text, columns, where))
        num_pairs += 1
    if not videos:
        found = ", ".join(left_out) or "none"
        raise DataError(f"{path} has no pair of the edits {', '.join(shifts)}, its edits are {found}: name others")
    return Pairs([*videos.values()], num_pairs, left_out)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): give the benchmark's JSON lines") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(f"Line {number} of {path} is not a JSON object: give the benchmark's JSON lines")
        yield number, record


def _inside(text: str, where: str, column: str) -> PurePosixPath:
    place = PurePosixPath(text)
    if not text:
        raise DataError(f"{where} has no '{column}', expected a path: name the column with --column")
    if place.is_absolute() or ".." in place.parts:
        raise DataError(f"{where} has the path {text} in '{column}', expected one below the file's folder: correct it")
    return place


def _offset_ms(record: Mapping[str, Any], text: Mapping[str, str], columns: Mapping[str, str], where: str) -> float:
    described = [text["attribute"], PurePosixPath(text["edited"]).name.replace("_", " ")]
    size = record.get(columns["offset"])
    if size is None:
        size = next((found[1] for words in described if (found := _MILLISECONDS.search(words))), None)
    words = [text["direction"]] if text["direction"] else described
    direction = next((found[1] for part in words if (found := _DIRECTION.search(part))), "")
    try:
        size_ms = abs(float(size)) if size is not None else float("nan")
    except (TypeError, ValueError):
        size_ms = float("nan")
    sign = SIGNS.get(direction.lower())
    if sign is None or not 0 < size_ms <= MAX_OFFSET_MS:
        raise DataError(
            f"{where} says no offset of up to {MAX_OFFSET_MS:.0f} ms with advance or delay, expected in "
            f"'{columns['offset']}' and '{columns['direction']}', or as '50ms delay' in '{columns['attribute']}': name "
            "the columns with --column"
        )
    return sign * size_ms
