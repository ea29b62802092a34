"""Write a folder of videos in the layout of CAV-MAE's lists: frames, audio, a JSON and a vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.atomic import atomic_folder, require_new_folder, write_text_atomically
from cavsync.data.clip import Clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.labels import FOLDER_LABELS_NAME
from cavsync.data.sources.classes import ClassLabels
from cavsync.data.sources.rejects import Rejects
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.errors import DataError, MediaError
from cavsync.media.align import SAMPLE_RATE_HZ, even_indices, shown_seconds
from cavsync.media.audio_file import write_pcm16
from cavsync.media.resample import ChannelRule

LIST_NAME = "list.json"
VOCABULARY_NAME = "class_labels.csv"
JPEG_QUALITY = 95


def write_cav_mae_list(
    folder: Path,
    out: Path,
    *,
    frames: int = 10,
    img_size: int = 224,
    channels: ChannelRule = "mix",
    progress: Callable[[int, int], None] | None = None,
) -> Rejects:
    """Write `out/list.json`, `out/class_labels.csv`, `out/frames/frame_{i}/ID.jpg` and `out/sounds/ID.wav` for the
    videos below `folder`, which needs a labels.csv.

    Frame i of n shows the clip at i/n of its duration, where the lists' index rule expects it; audio is 16 kHz mono, 16
    bits; the list says how its channels became one. The vocabulary and the list are written last. Returns the clips
    that could not be used.
    Raises DataError for a folder without labels or usable clips, ConfigError for an `out` that exists and is not an
    empty folder. `out` appears once it is complete.
    """
    source = VideoFolder.open(folder, channels)
    if not source.labels_of:
        raise DataError(f"{folder} has no {FOLDER_LABELS_NAME}: write one with a file and its labels per line")
    require_new_folder(out, "choose another one")
    labels = ClassLabels.of_names(name for names in source.labels_of.values() for name in names)
    # A list separates labels by commas, which names may contain, so it names classes by mids without commas.
    labels = ClassLabels(tuple((index, f"/c/{index:04d}", name) for index, _, name in labels.vocabulary))
    rejects, entries = Rejects(), []
    with atomic_folder(out) as fresh:
        for index, name in enumerate(source.names):
            clip_id = Path(name).relative_to(folder).with_suffix("").as_posix().replace("/", "-")
            try:
                _write_clip(source.load(index, img_size), fresh, clip_id, frames)
            except MediaError as error:
                rejects.add(name, error)
            else:
                mids = [labels.vocabulary[labels.index_of[label]][1] for label in source.labels(index)]
                entries.append(_entry(out.resolve(), clip_id, mids))
            if progress is not None:
                progress(index + 1, len(source.names))
        if not entries:
            reasons = dict(rejects.reasons)
            raise DataError(f"No clip of {folder} can be used ({reasons}): see `cavsync data check {folder}`")
        labels.write(fresh / VOCABULARY_NAME)
        write_text_atomically(fresh / LIST_NAME, json.dumps({"channels": channels, "data": entries}, indent=1) + "\n")
    return rejects


def _entry(out: Path, clip_id: str, mids: list[str]) -> dict[str, str]:
    return {
        "wav": str(out / "sounds" / f"{clip_id}.wav"),
        "video_id": clip_id,
        "video_path": str(out / "frames"),
        "labels": ",".join(mids),
    }


def _write_clip(clip: Clip, out: Path, clip_id: str, frames: int) -> None:
    for number, frame in enumerate(clip.frames[even_indices(clip.pts_seconds, frames)]):
        folder = out / "frames" / f"frame_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame.transpose(1, 2, 0)).save(folder / f"{clip_id}.jpg", quality=JPEG_QUALITY, subsampling=0)
    (out / "sounds").mkdir(exist_ok=True)
    with (out / "sounds" / f"{clip_id}.wav").open("wb") as stream:
        write_pcm16(stream, _audio_of_frames(clip))


def _audio_of_frames(clip: Clip) -> NDArray[np.float32]:
    """Return the audio from the first frame's time to the end of the last, the only alignment that a list can state."""
    assert isinstance(clip.audio, Waveform)  # load_clip returns samples
    samples = np.zeros(max(1, round(shown_seconds(clip.pts_seconds) * SAMPLE_RATE_HZ)), dtype=np.float32)
    first = round((clip.audio_start_seconds - clip.pts_seconds[0]) * SAMPLE_RATE_HZ)
    begin, end = max(0, first), min(len(samples), first + len(clip.audio.samples))
    if end > begin:
        samples[begin:end] = clip.audio.samples[begin - first : end - first]
    return samples
