"""Damage to the tars of a folder, found by their sizes and headers when the folder is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cavsync.data.shards.index import IDX_ENDING, read_report
from cavsync.data.shards.manifest import ShardEntry
from cavsync.data.shards.scan_tar import TarScan, scan_tar
from cavsync.errors import MediaError

_CAUSES = {
    "truncated": "is truncated: copy it again",
    "corrupt": "is corrupt: copy it again",
    "empty": "is empty: write it again",
    "missing": "is missing: copy it again",
    "unreadable": "cannot be read: restore it",
}


@dataclass(frozen=True)
class Damage:
    """A sample that cannot be used, and why: `reason` and `error` as in a MediaError. `sample` is its key, "?" if that
    is unknown, or "" for the whole shard."""

    shard: str
    sample: str
    reason: str
    error: str

    def as_error(self) -> MediaError:
        """Return the damage as the error that a reader of the sample would raise."""
        return MediaError(self.error, reason=self.reason)


def inspect_tar(path: Path, entry: ShardEntry | None) -> tuple[int, list[Damage]]:
    """Return the number of usable clips in a tar, and its damage, by its size and headers, without its data.

    `entry` is its entry in the manifest, if there is one.

    The headers of a tar that still has the size that it was written with are not read.
    """
    try:
        num_bytes = path.stat().st_size
        if entry is not None and entry.bytes == num_bytes and path.with_suffix(IDX_ENDING).is_file():
            return entry.clips, []
        report = read_report(path)
        if report is not None and entry is None and report.bytes == num_bytes:
            return len(report.keys), []
        found = scan_tar(path)
    except OSError as error:
        reason = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return 0, _lost(path, reason, set(), "", entry)
    incomplete = [
        Damage(str(path), key, "incomplete", f"{path}: sample {key} lacks {missing}: write it again")
        for key, missing in found.incomplete.items()
    ]
    present = {*found.index.keys, *found.incomplete}
    reason = _reason(found, num_bytes, len(present), entry)
    return len(found.index), incomplete + _lost(path, reason, present, found.truncated_key, entry)


def _reason(found: TarScan, num_bytes: int, num_present: int, entry: ShardEntry | None) -> str:
    """Return why samples are missing; "" if none is known to be."""
    if not num_bytes or not (found.end or num_present):
        return "empty"
    return found.end or ("truncated" if entry is not None and num_present < entry.clips else "")


def _lost(path: Path, reason: str, present: set[str], truncated_key: str, entry: ShardEntry | None) -> list[Damage]:
    """Return the damage of the samples that a tar should hold and does not: by key if the keys are known, else one per
    missing sample, or one for the whole shard if not even their number is known."""
    if not reason:
        return []
    report = read_report(path)
    if report is not None:
        keys = [key for key in report.keys if key not in present]
    elif entry is not None:
        keys = [truncated_key or "?", *["?"] * entry.clips][: entry.clips - len(present)]
    else:
        keys = [truncated_key]
    cause = f"{path} {_CAUSES[reason]}"
    return [Damage(str(path), key, reason, f"Sample {key} is lost, {cause}" if key else cause) for key in keys]
