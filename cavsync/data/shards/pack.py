"""Pack a source into tar shards: in parallel, resumable after an interruption, with the same bytes every time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cavsync.atomic import atomic_file, is_leftover, only_writer, remove_leftovers
from cavsync.data.cav_mae_json import read_list
from cavsync.data.channel_rule import require_channels
from cavsync.data.faces.follow import OpenFinder
from cavsync.data.labels import Label, label_names
from cavsync.data.shards.index import ShardReport, read_report
from cavsync.data.shards.manifest import (
    REJECTS_NAME,
    ShardEntry,
    ShardManifest,
    read_manifest,
    shard_name,
)
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.run_jobs import run_jobs
from cavsync.data.shards.sources import fingerprint, list_items
from cavsync.data.shards.write_shard import PackedClips, ShardJob
from cavsync.errors import ConfigError, DataError, MediaError

Progress = Callable[[int, int], None]

# Enough clips to estimate their mean size; few, because they are read a second time when they are packed.
MEASURED_CLIPS = 8
CLIPS_PER_SHARD_UNMEASURED = 1000
_OURS = re.compile(r"shard-\d{6,}\.(tar|idx)|manifest\.json|rejects\.jsonl")


def pack(
    source: Path,
    out: Path,
    options: PackOptions,
    *,
    media: Path | None = None,
    vocabulary: Sequence[Label] | None = None,
    workers: int = 2,
    progress: Progress | None = None,
    open_finder: OpenFinder | None = None,
) -> ShardManifest:
    """Write `source` (a folder of videos, a CAV-MAE .json, or a .csv of parts of the videos below `media`) into `out`.

    Finished shards are kept, so calling again completes an interrupted pack and leaves a complete one alone. With
    `vocabulary`, clips with labels outside it are rejected. `progress(done, total)` counts clips. With several
    `workers` the calling script needs the usual `if __name__ == "__main__"` guard. `open_finder`, which goes with
    `options.faces`, opens a face finder for each clip.

    Raises:
        ConfigError: options that do not fit the source.
        DataError: a missing or unusable source, a folder with other content, a full disk, or a killed worker.
    """
    if source.suffix.lower() == ".json":
        _require_list_options(source, options)
    if options.faces != (open_finder is not None):
        raise ConfigError(
            "Packing with faces needs a face finder, and only that does: give both faces and open_finder."
        )
    root, listed = list_items(source, media)
    items = [listed[place] for place in shuffled(len(listed), options.seed)]
    clips = PackedClips(root, items, options, None if vocabulary is None else label_names(vocabulary), open_finder)
    wanted = ShardManifest(
        options=options,
        labels=None if vocabulary is None else list(vocabulary),
        source_sha256=fingerprint(items),
        items=len(items),
        clips_per_shard=options.shard_clips or CLIPS_PER_SHARD_UNMEASURED,
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            manifest = _begin(out, clips, wanted)
            if not _is_complete(out, manifest):
                _write_shards(out, clips, manifest.clips_per_shard, workers, progress)
                manifest = _finish(out, manifest)
            return manifest
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error}): make room or give another folder, then pack again; finished shards "
            "are kept"
        ) from None


def _require_list_options(source: Path, options: PackOptions) -> None:
    """Raise ConfigError for options that need the times of frames, which a CAV-MAE list does not have; DataError for
    other channels than its audio was made with."""
    if options.frames or options.frame_rate_hz or options.max_seconds:
        raise ConfigError(
            f"{source} pairs frames with audio by number, so all are kept: leave out frames, rate and max_seconds"
        )
    if options.faces:
        raise ConfigError(f"{source} lists a few frames of each clip, in which no face can be followed: pack videos")
    if source.is_file():
        require_channels(source, read_list(source).channels, options.channels)


def shuffled(num_items: int, seed: int) -> list[int]:
    """Return the order in which clips are packed, which depends on their number and the seed only."""
    order: list[int] = np.random.default_rng(seed).permutation(num_items).tolist()
    return order


def shard_ranges(num_items: int, clips_per_shard: int) -> list[range]:
    """Return the positions in the packing order that make up each shard."""
    starts = range(0, num_items, clips_per_shard)
    return [range(start, min(start + clips_per_shard, num_items)) for start in starts]


def _begin(out: Path, clips: PackedClips, wanted: ShardManifest) -> ShardManifest:
    """Return the manifest of an earlier call with the same source and options, or write a new one.

    Raises ConfigError for a folder that holds anything else.
    """
    found = read_manifest(out)
    names = sorted(path.name for path in out.iterdir() if not is_leftover(path.name))
    strange = [name for name in names if found is None or not _OURS.fullmatch(name)]
    if strange:
        raise ConfigError(f"{out} holds {strange[0]}, which is not of this pack: pack into an empty folder")
    remove_leftovers(out)
    if found is None:
        if wanted.options.shard_clips is None:
            wanted = wanted.model_copy(update={"clips_per_shard": _measure_clips_per_shard(clips)})
        wanted.write(out)
        return wanted
    if found.options != wanted.options or found.labels != wanted.labels:
        raise ConfigError(f"{out} holds a pack with other options: use the same ones, or pack into another folder")
    if found.source_sha256 != wanted.source_sha256:
        raise ConfigError(f"{out} holds a pack of another source: pack into another folder")
    return found


def _measure_clips_per_shard(clips: PackedClips) -> int:
    """Estimate how many clips make a shard of the wanted size, from the first usable clips."""
    sizes = []
    for item in clips.items[: 2 * MEASURED_CLIPS]:
        try:
            _, members = clips.read(item)
        except MediaError:
            continue
        sizes.append(sum(len(data) + 1024 for _, data in members))
        if len(sizes) == MEASURED_CLIPS:
            break
    if not sizes:
        return CLIPS_PER_SHARD_UNMEASURED
    return max(1, round(clips.options.shard_megabytes * 1e6 * len(sizes) / sum(sizes)))


def finished_report(tar_path: Path) -> ShardReport | None:
    """Return the report of a finished shard; None for a shard that has to be written."""
    report = read_report(tar_path)
    if report is None or (report.keys and not (tar_path.is_file() and tar_path.stat().st_size == report.bytes)):
        return None
    return report


def _is_complete(out: Path, manifest: ShardManifest) -> bool:
    paths = [out / shard_name(number) for number in range(manifest.num_shards)]
    is_listed = manifest.complete and manifest.clips > 0 and (out / REJECTS_NAME).is_file()
    return is_listed and all(finished_report(path) is not None for path in paths)


def _write_shards(out: Path, clips: PackedClips, clips_per_shard: int, workers: int, progress: Progress | None) -> None:
    """Write the shards that are not finished."""
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None and number:
            progress(done, len(clips.items))

    def unfinished() -> Iterator[ShardJob]:
        for number, chosen in enumerate(shard_ranges(len(clips.items), clips_per_shard)):
            path = out / shard_name(number)
            if finished_report(path) is None:
                yield ShardJob(path, replace(clips, items=clips.items[chosen.start : chosen.stop]), chosen.start)
            else:
                advance(len(chosen))

    run_jobs(unfinished(), workers, advance)


def _finish(out: Path, manifest: ShardManifest) -> ShardManifest:
    """Collect the reports of all shards into rejects.jsonl and the complete manifest.

    Raises DataError if a shard has changed since, or if no clip could be packed.
    """
    entries: list[ShardEntry] = []
    reasons: Counter[str] = Counter()
    seconds = 0.0
    with atomic_file(out / REJECTS_NAME) as stream:
        for number in range(manifest.num_shards):
            report = finished_report(out / shard_name(number))
            if report is None:
                raise DataError(f"{out / shard_name(number)} was changed while the pack was running: pack again")
            seconds += report.seconds
            reasons.update(reject.reason for reject in report.rejects)
            stream.writelines(reject.model_dump_json().encode() + b"\n" for reject in report.rejects)
            if report.keys:
                entries.append(
                    ShardEntry(
                        name=shard_name(number), clips=len(report.keys), bytes=report.bytes, sha256=report.sha256
                    )
                )
    complete = manifest.model_copy(
        update={
            "complete": True,
            "clips": sum(entry.clips for entry in entries),
            "rejects": reasons.total(),
            "reasons": Counter(dict(sorted(reasons.items()))),
            "hours": round(seconds / 3600, 6),
            "shards": entries,
        }
    )
    complete.write(out)
    if not entries:
        raise DataError(f"No clip could be packed ({dict(reasons)}): see {out / REJECTS_NAME}")
    return complete
