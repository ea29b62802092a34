"""Write a folder of clips with truth.jsonl, the description and the events of each clip, and labels.csv, its
classes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cavsync.atomic import atomic_path, remove_leftovers, write_text_atomically
from cavsync.data.labels import FOLDER_LABELS_NAME, folder_labels_text
from cavsync.data.synth.encode import write_media
from cavsync.data.synth.masks import MASKS_NAME, mask_frames, remove_masks, write_masks
from cavsync.data.synth.render import RenderedClip, render
from cavsync.data.synth.spec import GENERATOR_VERSION, SPEAKING_FAMILIES, WORLD_FAMILIES, ClipSpec
from cavsync.data.synth.unfinished import UnfinishedSet
from cavsync.errors import ConfigError, DataError
from cavsync.worker_process import leave_stopping_to_parent

TRUTH_NAME = "truth.jsonl"
TruthRecord = dict[str, Any]

logger = logging.getLogger(__name__)


def write_clip(spec: ClipSpec, path: Path, masks: int = 0) -> TruthRecord:
    """Render and encode one clip and `masks` object masks of it; return its truth record.

    The record holds `file` (the name), `spec` (the spec as one line), every field of the spec, `events` (true event
    times in the video, in seconds), `labels` (the source of the sound of each event), `frames` (their number) and
    `espeak` (whether espeak-ng spoke); of worlds also `unseen_events` and `unseen_labels` (sounds whose source is out
    of sight), and with masks `masks` (see `write_masks`). The file appears under its name only when it is complete.
    """
    clip = render(spec)
    with atomic_path(path) as temporary:
        write_media(spec, clip.frames, clip.audio, temporary)
    return truth_record(spec, path.name) | {
        "frames": spec.frame_count,
        "events": [round(time, 6) for time in clip.events],
        "labels": list(clip.labels),
        **(_unseen(clip) if spec.family in WORLD_FAMILIES else {}),
        **({"masks": write_masks(spec, path, masks)} if masks else {}),
    }


def _unseen(clip: RenderedClip) -> TruthRecord:
    times = [round(time, 6) for time in clip.unseen_events]
    return {"unseen_events": times, "unseen_labels": list(clip.unseen_labels)}


def truth_record(spec: ClipSpec, name: str) -> TruthRecord:
    """Return the part of a truth record that is known before rendering."""
    speaks = spec.family in SPEAKING_FAMILIES and spec.speech == "espeak-ng" and not spec.silent
    return {"file": name, "spec": spec.to_text(), **spec.to_json(), "espeak": speaks}


def clip_name(index: int, spec: ClipSpec) -> str:
    """Return the file name of one clip of a set."""
    return f"{index:05d}-{spec.family}.{spec.container}"


def generate(
    out_dir: Path,
    specs: Sequence[ClipSpec],
    *,
    workers: int = 2,
    masks: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[TruthRecord]:
    """Write all `specs` into `out_dir` in `workers` processes, with `masks` object masks each, and labels.csv and
    truth.jsonl last; return the truth records.

    The result does not depend on `workers`. `progress(done, total)` is called after each clip. A folder that already
    holds exactly this set is left as it is; if a run was interrupted while it wrote this set, its clips are kept. With
    `workers` above 1 the calling script needs the usual `if __name__ == "__main__"` guard. Raises ConfigError for a
    folder with other content, unless `overwrite`, which replaces the files of an earlier set and keeps all other files;
    a labels.csv without such a set is never replaced.
    """
    names = [clip_name(index, spec) for index, spec in enumerate(specs)]
    wanted = [truth_record(spec, name) for spec, name in zip(specs, names, strict=True)]
    out_dir.mkdir(parents=True, exist_ok=True)
    existing, unfinished = read_truth(out_dir), UnfinishedSet(out_dir, wanted, masks)
    if existing:
        # Interrupted after all was written.
        unfinished.end()
    if _holds(out_dir, existing, wanted, specs, masks):
        logger.info("%s already holds these %d clips", out_dir, len(specs))
        if not (out_dir / FOLDER_LABELS_NAME).exists():
            _write_labels(out_dir, existing)
        return existing
    records: dict[int, TruthRecord] = {}
    if unfinished.is_there():
        records = unfinished.records()
        logger.info("%s holds %d of these %d clips from an interrupted run", out_dir, len(records), len(specs))
    else:
        _make_room(out_dir, existing, unfinished.of_any_set(), overwrite)
        unfinished.begin()
    remove_leftovers(out_dir)
    missing = [index for index in range(len(specs)) if index not in records]
    for index, record in _write_all(out_dir, specs, names, workers, masks, missing):
        records[index] = record
        unfinished.add(record)
        if progress is not None:
            progress(len(records), len(specs))
    truth = [records[index] for index in range(len(specs))]
    _write_labels(out_dir, truth)
    write_text_atomically(out_dir / TRUTH_NAME, "".join(json.dumps(record) + "\n" for record in truth))
    unfinished.end()
    return truth


def _make_room(
    out_dir: Path, existing: Sequence[TruthRecord], interrupted: Sequence[TruthRecord], overwrite: bool
) -> None:
    """Remove an earlier set, complete or interrupted, where it may be overwritten."""
    has_foreign_labels = not existing and (out_dir / FOLDER_LABELS_NAME).exists()
    if any(out_dir.iterdir()) and (not overwrite or has_foreign_labels):
        raise ConfigError(
            f"The folder {out_dir} holds something other than this set of clips, but an empty one is expected:"
            " choose another folder, or overwrite it."
        )
    (out_dir / TRUTH_NAME).unlink(missing_ok=True)
    for record in (*existing, *interrupted):
        (out_dir / Path(str(record["file"])).name).unlink(missing_ok=True)
        remove_masks(out_dir, record)


def read_truth(folder: Path) -> list[TruthRecord]:
    """Return the records of the folder's truth.jsonl; empty if there is none. Raises DataError for a damaged one."""
    path = folder / TRUTH_NAME
    if not path.exists():
        return []
    try:
        records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is damaged ({error}): delete the folder and generate it again.") from error
    if not all(isinstance(record, dict) and "file" in record for record in records):
        raise DataError(f"{path} has a line without a file name: delete the folder and generate it again.")
    return records


def _holds(
    out_dir: Path, truth: list[TruthRecord], wanted: list[TruthRecord], specs: Sequence[ClipSpec], masks: int
) -> bool:
    """Return whether the folder holds exactly the clips `wanted`, which `specs` describe, with these masks."""
    # Sets of earlier versions hold no `spec`: they are of the first version of the generator.
    first = [{"spec": want["spec"].replace(f"@{GENERATOR_VERSION}", "@1", 1)} for want in wanted]
    known = [old | record for old, record in zip(first, truth, strict=False)]
    present = [{key: record.get(key) for key in want} for record, want in zip(known, wanted, strict=False)]
    same = len(truth) == len(wanted) > 0 and present == wanted
    drawn = [[frame["frame"] for frame in record.get("masks", {}).get("frames", [])] for record in truth]
    same = same and drawn == [mask_frames(spec, masks) for spec in specs]
    # Sets of earlier versions, which wrote no labels.csv, are complete without it.
    names = (str(want["file"]) for want in wanted)
    expected = {TRUTH_NAME, FOLDER_LABELS_NAME, *names, *([MASKS_NAME] if masks else [])}
    return same and {path.name for path in out_dir.iterdir()} | {FOLDER_LABELS_NAME} == expected


def _write_all(
    out_dir: Path, specs: Sequence[ClipSpec], names: Sequence[str], workers: int, masks: int, missing: Sequence[int]
) -> Iterator[tuple[int, TruthRecord]]:
    """Yield (index, truth record) of each clip at the indices `missing`, in the order in which they are finished."""
    clips = {index: (specs[index], out_dir / names[index], masks) for index in missing}
    if workers <= 1:
        for index, clip in clips.items():
            yield index, write_clip(*clip)
        return
    # "spawn", because the caller may run threads (torch, a progress bar), which do not survive a fork.
    context, count = get_context("spawn"), min(workers, max(len(clips), 1))
    with ProcessPoolExecutor(count, mp_context=context, initializer=leave_stopping_to_parent) as pool:
        jobs = {pool.submit(write_clip, *clip): index for index, clip in clips.items()}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def class_labels(record: TruthRecord) -> tuple[str, ...]:
    """Return the classes of a clip from its truth record: its family, then the sources of its sounds."""
    return tuple(dict.fromkeys((str(record["family"]), *sorted(map(str, record["labels"])))))


def _write_labels(out_dir: Path, truth: list[TruthRecord]) -> None:
    labels = {str(record["file"]): class_labels(record) for record in truth}
    write_text_atomically(out_dir / FOLDER_LABELS_NAME, folder_labels_text(labels))
