"""The clips of a source that can be packed: a folder of videos, a CAV-MAE list, or a CSV of parts of videos."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cavsync.data.labels.folder import read_folder_labels, split_labels
from cavsync.data.shards.items import FramesItem, Item, VideoItem
from cavsync.data.shards.media_names import MediaNames, media_below
from cavsync.errors import ConfigError, DataError

VGGSOUND_SECONDS = 10.0


def list_items(source: Path, media: Path | None = None) -> tuple[Path, Sequence[Item]]:
    """The folder to which file names are relative, and the clips of `source` in the order of their names.

    media: folder of the downloaded files of a CSV. Raises DataError for a source that is none, or lists nothing.
    """
    if (source.suffix.lower() == ".csv") != (media is not None):
        raise ConfigError(f"{source} and --media do not fit: give the folder of the media with a .csv, and only there")
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
        raise DataError(f"{source} is no source: give a folder of videos, a CAV-MAE .json or a .csv beside --media")
    if not items:
        raise DataError(f"{source} holds no clip, expected {wanted}: give another source")
    return root, items


def fingerprint(items: Sequence[Item]) -> str:
    """SHA-256 of what the source lists."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item!r}\n".encode())
    return digest.hexdigest()


def _cav_mae_items(path: Path) -> list[FramesItem]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["data"]
        items = [_cav_mae_item(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f'{path} is not a CAV-MAE list ({error!r}), expected {{"data": [{{"wav", "video_id", "video_path", '
            '"labels"}]}: write it anew'
        ) from None
    return sorted(items, key=lambda item: (item.file, item.wav))


def _cav_mae_item(entry: dict[str, str]) -> FramesItem:
    return FramesItem(entry["video_id"], entry["video_path"], entry["wav"], split_labels(entry.get("labels", "")))


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
    """The clip of `ytid,start,label,split` (VGGSound) or `ytid,start,end,"labels"` (AudioSet)."""
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
        # VGGSound's labels contain commas of their own.
        end_seconds, labels, split = start_seconds + VGGSOUND_SECONDS, (third,), sys.intern(fourth.strip())
    found = names.find(video_id, start_seconds, end_seconds)
    file, whole = found if found is not None else ("", False)
    return VideoItem(video_id, file, labels, (start_seconds, end_seconds), whole, split)
