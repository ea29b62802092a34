"""The clips that a source to be packed lists: a folder of videos, a CAV-MAE list, or a CSV of parts of videos."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from cavsync.data.cav_mae_json import read_list
from cavsync.data.labels import read_folder_labels, split_labels
from cavsync.data.shards.items import FramesItem, Item, VideoItem
from cavsync.data.shards.media_names import MediaNames, media_below
from cavsync.errors import ConfigError, DataError

VGGSOUND_SECONDS = 10.0


def list_items(source: Path, media: Path | None = None) -> tuple[Path, Sequence[Item]]:
    """Return the folder to which file names are relative, and the clips of `source` sorted by name.

    media: folder of the downloaded files of a CSV. Raises DataError for an unknown kind of source or one without clips,
    ConfigError for a CSV without `media` or another source with it.
    """
    if (source.suffix.lower() == ".csv") != (media is not None):
        raise ConfigError(f"{source} and --media do not fit: --media goes with a .csv, and every .csv needs it")
    if source.is_dir():
        labels = read_folder_labels(source)
        items: Sequence[Item] = [
            VideoItem(file.rpartition(".")[0], file, labels.get(file, ())) for file in media_below(source)
        ]
        root, wanted = source, "videos such as .mp4 or .webm"
    elif source.suffix.lower() == ".json" and source.is_file():
        items, root, wanted = _cav_mae_items(source), Path(), "entries in its data"
    elif media is not None and source.is_file():
        items, root, wanted = _csv_items(source, media), media, "rows"
    else:
        raise DataError(f"{source} is not a source: give a folder of videos, a CAV-MAE .json, or a .csv with --media")
    if not items:
        raise DataError(f"{source} holds no clip, expected {wanted}: give another source")
    return root, items


def fingerprint(items: Sequence[Item]) -> str:
    """Return the SHA-256 of all clips that the source lists, by their `repr`."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item!r}\n".encode())
    return digest.hexdigest()


def _cav_mae_items(path: Path) -> list[FramesItem]:
    items = [
        FramesItem(entry["video_id"], entry["video_path"], entry["wav"], split_labels(entry.get("labels", "")))
        for entry in read_list(path).entries
    ]
    return sorted(items, key=lambda item: (item.file, item.wav))


def _csv_items(path: Path, media: Path) -> list[VideoItem]:
    names = MediaNames(media)
    if not len(names):
        raise DataError(f"{media} holds no media file: give the folder of the downloaded videos")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, skipinitialspace=True)
            items = [
                _row_item(row, names, f"line {rows.line_num} of {path}")
                for row in rows
                if row and not row[0].startswith("#")
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error}): give a CSV file in UTF-8") from None
    return sorted(items, key=lambda item: (item.id, item.cut_seconds))


def _row_item(row: list[str], names: MediaNames, where: str) -> VideoItem:
    """Parse a row `ytid,start,label,split` (VGGSound) or `ytid,start,end,"labels"` (AudioSet)."""
    try:
        video_id, start, third, fourth = row
        start_seconds = float(start)
    except ValueError:
        raise DataError(
            f"{where} is {','.join(row)!r}, expected ytid,start_seconds,label,split or "
            'ytid,start_seconds,end_seconds,"labels": correct it'
        ) from None
    try:
        end_seconds, labels, split = float(third), split_labels(fourth), ""
    except ValueError:
        # A VGGSound row has one label, which may contain commas.
        end_seconds, labels, split = start_seconds + VGGSOUND_SECONDS, (third,), sys.intern(fourth.strip())
    file, whole = names.find(video_id, start_seconds, end_seconds) or ("", False)
    return VideoItem(video_id, file, labels, (start_seconds, end_seconds), whole, split)
