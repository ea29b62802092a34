"""VGG-SS (arXiv 2104.02691): boxes around the sounding objects in VGGSound clips.

`vggss.json` is a list of {"file", "class", "bbox": [[left, top, right, bottom], ...]} in shares of the image. The
clips are videos MEDIA/FILE.mp4 (any container), or MEDIA/frames/FILE.jpg with MEDIA/audio/FILE.wav.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from cavsync.data.clip_audio import Waveform
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import (
    SEGMENTS_BY_TIME,
    TARGET_SIZE,
    LocalizationCase,
    centred_segment,
    still_tubelet,
)
from cavsync.evaluate.localize.image_files import read_image
from cavsync.evaluate.localize.metrics import consensus_map
from cavsync.evaluate.localize.middle_frame import middle_frame
from cavsync.media.align import SAMPLE_RATE_HZ
from cavsync.media.audio_file import read_audio
from cavsync.media.files import find_media
from cavsync.media.resample import ChannelRule


@dataclass(frozen=True)
class VggSs:
    """The annotated clips. `boxes_needed`: number of boxes that give a pixel full weight, 1 in VGG-SS."""

    json_path: Path
    root: Path
    entries: list[dict[str, Any]]
    videos: dict[str, Path]
    boxes_needed: int = 1
    channels: ChannelRule = "mix"
    name: str = "VGG-SS"

    @classmethod
    def open(cls, json_path: Path, media: Path, *, boxes_needed: int = 1, channels: ChannelRule = "mix") -> VggSs:
        """Read the annotations. Raises DataError for another kind of file, or one without entries."""
        try:
            entries = json.loads(json_path.read_text(encoding="utf-8"))
            names = [(str(entry["file"]), str(entry["class"]), list(entry["bbox"])) for entry in entries]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f'{json_path} is not a VGG-SS annotation ({error!r}), expected [{{"file", "class", "bbox"}}]: download '
                "it again"
            ) from None
        if not names:
            raise DataError(f"{json_path} lists no clip: download it again")
        videos = {path.stem: path for path in find_media(media)}
        kept = [{"file": file, "class": label, "bbox": boxes} for file, label, boxes in names]
        return cls(json_path, media, kept, videos, boxes_needed, channels)

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """How the cases are made, with the number of boxes that give full weight."""
        return {
            "picture": "middle frame of the clip, resized to a square like the boxes",
            "sound": "the segment around the frame; of a .wav, the middle one",
            "segments": SEGMENTS_BY_TIME,
            "target": "number of boxes that contain a pixel, over boxes_needed, at most 1; for mAP and mIoU any box",
            "boxes_needed": self.boxes_needed,
        }

    @property
    def sources(self) -> list[str]:
        """The names of the clips."""
        return [str(entry["file"]) for entry in self.entries]

    def files(self) -> list[Path]:
        """Return the annotations and all existing videos, images and audio files."""
        found = [path for name in self.sources for path in self._paths(name) if path.is_file()]
        return [self.json_path, *found]

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """Load one clip. Raises MediaError for a clip that is missing or damaged, or whose boxes are empty or
        invalid."""
        entry = self.entries[index]
        try:
            target = consensus_map(entry["bbox"], TARGET_SIZE, self.boxes_needed)
        except (DataError, TypeError, ValueError) as error:
            raise MediaError(f"{entry['file']}: {error}", reason="label") from None
        if not target.any():
            raise MediaError(f"{entry['file']} has no box with an area: leave it out", reason="label")
        image, audio, time_seconds = self._image_and_audio(str(entry["file"]))
        return [
            LocalizationCase(
                name=str(entry["file"]),
                category=str(entry["class"]),
                tubelet=still_tubelet(squeezed(image, encoder.img_size), encoder),
                segments=centred_segment(audio, time_seconds, encoder.segment_frames)[0],
                shown=squeezed(image, TARGET_SIZE),
                target=target,
            )
        ]

    def _paths(self, name: str) -> list[Path]:
        if name in self.videos:
            return [self.videos[name]]
        return [self.root / "frames" / f"{name}.jpg", self.root / "audio" / f"{name}.wav"]

    def _image_and_audio(self, name: str) -> tuple[NDArray[np.uint8], Waveform, float]:
        """Return the image, the audio, and the image's time in seconds from the start of the audio."""
        paths = self._paths(name)
        if len(paths) == 1:
            return middle_frame(paths[0], self.channels)
        audio = Waveform(read_audio(paths[1], self.channels))
        return read_image(paths[0]), audio, len(audio.samples) / 2 / SAMPLE_RATE_HZ


def squeezed(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize the whole image to a square, without cropping: (H, W, 3) -> (size, size, 3)."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
