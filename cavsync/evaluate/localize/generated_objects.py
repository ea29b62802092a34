"""Generated clips with object masks (`cavsync data synth --masks`), whose sounding objects are known at each frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import JsonValue

from cavsync.data.clip import Clip, load_clip
from cavsync.data.sampling import take_sample
from cavsync.data.synth import TRUTH_NAME, read_truth
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.inputs.clip_inputs import plan_for
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import SEGMENTS_BY_TIME, TARGET_SIZE, LocalizationCase, centred_segment
from cavsync.evaluate.localize.image_files import nearest_center_crop
from cavsync.media.align import FRAME_SHIFT_SECONDS
from cavsync.media.resample import ChannelRule

# An object counts as sounding with at least this share of the loudest object's energy, which is 10 dB less.
HEARD_SHARE = 0.1


@dataclass(frozen=True)
class GeneratedObjects:
    """Clips of a folder that `cavsync data synth --masks` wrote, each with its truth record."""

    root: Path
    records: list[dict[str, Any]]
    channels: ChannelRule = "mix"
    name: str = "generated clips"

    @classmethod
    def open(cls, root: Path, channels: ChannelRule = "mix") -> GeneratedObjects:
        """Read truth.jsonl. Raises DataError if no clip has masks, or a clip's record is incomplete."""
        records = [record for record in read_truth(root) if record.get("masks")]
        if not records:
            raise DataError(f"{root} holds no object masks: generate clips with `cavsync data synth --masks 4`")
        for record in records:
            if not _is_complete(record):
                raise DataError(
                    f"{root}/truth.jsonl has an incomplete record of {record['file']} and its masks: delete the folder "
                    "and generate it again"
                )
        return cls(root, records, channels)

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """How the cases are made, with the share of the loudest object's energy that makes an object count."""
        return {
            "picture": "central square of each frame with a mask; frames whose segment is silent are left out",
            "sound": "the segment around the frame",
            "segments": SEGMENTS_BY_TIME,
            "target": "the objects with at least heard_share of the loudest object's energy in the segment",
            "heard_share": HEARD_SHARE,
        }

    @property
    def sources(self) -> list[str]:
        """File names of the clips."""
        return [str(record["file"]) for record in self.records]

    def files(self) -> list[Path]:
        """Return truth.jsonl and all existing clips and masks."""
        clips = [self.root / str(record["file"]) for record in self.records]
        masks = [self.root / frame["file"] for record in self.records for frame in record["masks"]["frames"]]
        return [path for path in (self.root / TRUTH_NAME, *clips, *masks) if path.is_file()]

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """Load one case per mask whose segment has a sounding object. Raises MediaError for an unusable clip or
        mask."""
        record = self.records[index]
        clip = load_clip(self.root / str(record["file"]), encoder.img_size, channels=self.channels)
        shown = load_clip(self.root / str(record["file"]), TARGET_SIZE)
        cases = []
        for frame in record["masks"]["frames"]:
            place = int(np.argmin(np.abs(clip.pts_seconds - float(frame["time_seconds"]))))
            segments, start_seconds = _segment(clip, record, float(clip.pts_seconds[place]), encoder.segment_frames)
            stop_seconds = start_seconds + encoder.segment_frames * FRAME_SHIFT_SECONDS
            target = self._target(record, frame, start_seconds, stop_seconds)
            if target.any():
                cases.append(
                    LocalizationCase(
                        name=f"{record['file']}#{frame['frame']}",
                        category=str(record["family"]),
                        tubelet=_tubelet(clip, place, encoder),
                        segments=segments,
                        shown=shown.frames[np.array([place])][0].transpose(1, 2, 0),
                        target=target,
                    )
                )
        return cases

    def _target(self, record: dict[str, Any], frame: dict[str, Any], start: float, stop: float) -> NDArray[np.float64]:
        """Return the pixels of the objects that sound between two times of the video, in seconds."""
        sounding = sounding_objects(record["masks"], start, stop)
        try:
            with Image.open(self.root / frame["file"]) as image:
                owners = np.asarray(image)
        except (OSError, UnidentifiedImageError) as error:
            raise MediaError(f"{frame['file']} is not a readable mask ({error}): generate the clips again") from None
        values = [place + 1 for place, name in enumerate(record["masks"]["objects"]) if name in sounding]
        return nearest_center_crop(np.isin(owners, values), TARGET_SIZE).astype(np.float64)


def _is_complete(record: dict[str, Any]) -> bool:
    """Return whether a truth record has every key that is read."""
    masks = record["masks"]
    if not isinstance(masks, dict) or not {"objects", "frames", "energy", "energy_step_seconds"} <= masks.keys():
        return False
    has_frames = all({"file", "frame", "time_seconds"} <= frame.keys() for frame in masks["frames"])
    return has_frames and {"family", "audio_offset_ms", "drift_ms_per_minute"} <= record.keys()


def sounding_objects(masks: dict[str, Any], start_seconds: float, stop_seconds: float) -> set[str]:
    """Return the objects with at least HEARD_SHARE of the loudest one's energy between two times, from the energy steps
    whose middle lies between them."""
    step = float(masks["energy_step_seconds"])
    total = {}
    for name, energy in masks["energy"].items():
        middles = (np.arange(len(energy)) + 0.5) * step
        total[name] = float(np.asarray(energy)[(middles >= start_seconds) & (middles < stop_seconds)].sum())
    loudest = max(total.values(), default=0.0)
    return {name for name, energy in total.items() if loudest > 0 and energy >= HEARD_SHARE * loudest}


def _segment(
    clip: Clip, record: dict[str, Any], video_seconds: float, length: int
) -> tuple[NDArray[np.float32], float]:
    """Return the segment of audio that belongs to a time of the video, given the clip's true offset, and the time of
    the video at its start."""
    offset_seconds = (record["audio_offset_ms"] + record["drift_ms_per_minute"] * video_seconds / 60) / 1000
    centre = video_seconds - offset_seconds - clip.audio_start_seconds
    segments, start = centred_segment(clip.audio, centre, length)
    return segments, start * FRAME_SHIFT_SECONDS + clip.audio_start_seconds + offset_seconds


def _tubelet(clip: Clip, place: int, encoder: Encoder) -> NDArray[np.uint8]:
    sample = take_sample(clip, np.array([place]), plan_for(encoder))
    frames: NDArray[np.uint8] = sample.frames[sample.tubelets[0]].transpose(0, 2, 3, 1)
    return frames
