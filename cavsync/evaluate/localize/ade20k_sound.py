"""ADE20K_Sound (DenseAV, arXiv 2406.05629): images of ADE20K prompted with audio of VGGSound.

The published folder: `prompted_segmentation.csv` (image_location, ade_class_id, vggsound_file, ...), the images in
`frames/`, ADE20K's label images in `annotations/` as `NAME_seg.png`, the audio in `audio/`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from cavsync.data.clip_audio import Waveform
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import TARGET_SIZE, LocalizationCase, covering_segments, still_tubelet
from cavsync.evaluate.localize.image_files import nearest_center_crop, read_image
from cavsync.media.audio_file import read_audio
from cavsync.media.frame import resize_center_crop
from cavsync.media.resample import ChannelRule

TABLE_NAME = "prompted_segmentation.csv"
COLUMNS = ("image_location", "ade_class_id", "vggsound_file")
NO_CLASS = 0


@dataclass(frozen=True)
class AudioPrompt:
    """One row of the table: an image, its labels, audio, and the class of the sounding object."""

    name: str
    image: Path
    labels: Path
    audio: Path
    class_id: int


@dataclass(frozen=True)
class UnusableRow:
    """A row that cannot be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ade20kSound:
    """The prompts of the folder, in the order of the table."""

    root: Path
    rows: list[AudioPrompt | UnusableRow]
    channels: ChannelRule = "mix"
    name: str = "ADE20K_Sound"

    @classmethod
    def open(cls, root: Path, channels: ChannelRule = "mix") -> Ade20kSound:
        """Read the table. Raises DataError for a table without a required column or without an audio prompt."""
        path = root / TABLE_NAME
        try:
            with path.open(encoding="utf-8", newline="") as table:
                rows = list(csv.DictReader(table))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table ({error}): download ADE20K_Sound again") from None
        absent = [column for column in COLUMNS if rows and column not in rows[0]]
        if absent:
            raise DataError(f"{path} lacks the column {absent[0]}, expected {', '.join(COLUMNS)}: download it again")
        # Rows with an empty vggsound_file are prompts by speech.
        found = [_prompt(root, row, number) for number, row in enumerate(rows, start=1) if row["vggsound_file"] != ""]
        if not any(isinstance(row, AudioPrompt) for row in found):
            raise DataError(f"{path} holds no row with a vggsound_file and a class: download ADE20K_Sound again")
        return cls(root, found, channels)

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """The published protocol, except for the aggregation over the audio file."""
        return {
            "picture": "image and labels: short side to 224, central square",
            "sound": "mean direction of half-overlapping segments over the whole file: this project's own choice",
            "segments": "half-overlapping over the whole file, the last moved inside it",
            "target": "pixels of the prompted class",
        }

    @property
    def sources(self) -> list[str]:
        """The image and audio of each prompt, by name."""
        return [row.name for row in self.rows]

    def files(self) -> list[Path]:
        """Return the table and all existing images, labels and audio files."""
        prompts = [row for row in self.rows if isinstance(row, AudioPrompt)]
        named = [path for prompt in prompts for path in (prompt.image, prompt.labels, prompt.audio)]
        return [self.root / TABLE_NAME, *(path for path in named if path.is_file())]

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """Load one prompt. Raises MediaError for an unusable row, a missing or damaged file, or different sizes of
        image and labels."""
        prompt = self.rows[index]
        if isinstance(prompt, UnusableRow):
            raise MediaError(f"{prompt.name} {prompt.reason}: correct the table or leave it out", reason="label")
        image, labels = read_image(prompt.image), read_image(prompt.labels)
        if image.shape != labels.shape:
            raise MediaError(
                f"{prompt.labels} has another size than {prompt.image.name}: download both again", reason="corrupt"
            )
        audio = Waveform(read_audio(prompt.audio, self.channels))
        return [
            LocalizationCase(
                name=prompt.name,
                category=str(prompt.class_id),
                tubelet=still_tubelet(resize_center_crop(image, encoder.img_size), encoder),
                segments=covering_segments(audio, encoder.segment_frames),
                shown=resize_center_crop(image, TARGET_SIZE),
                target=(class_ids(nearest_center_crop(labels, TARGET_SIZE)) == prompt.class_id).astype(np.float64),
            )
        ]


def _prompt(root: Path, row: dict[str, str], number: int) -> AudioPrompt | UnusableRow:
    """Parse row `number` of the table, counted from 1."""
    place = f"row {number} of {TABLE_NAME}"
    # A short row has None for its last values.
    absent = [column for column in COLUMNS if not row[column]]
    if absent:
        return UnusableRow(place, f"has no {absent[0]}")
    # Published tables hold the authors' full paths, of which only the file name is used.
    audio = row["vggsound_file"].replace("\\", "/").rsplit("/", 1)[-1]
    name = f"{row['image_location']} + {audio}"
    try:
        class_id = int(float(row["ade_class_id"]))
    except (ValueError, OverflowError):
        return UnusableRow(f"{name} ({place})", f"has the class '{row['ade_class_id']}', which is not a number")
    if class_id == NO_CLASS:
        return UnusableRow(f"{name} ({place})", "has no class (0)")
    labels = (root / "annotations" / row["image_location"]).with_suffix("")
    labels = labels.with_name(f"{labels.name}_seg.png")
    return AudioPrompt(name, root / "frames" / row["image_location"], labels, root / "audio" / audio, class_id)


def class_ids(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the class numbers of ADE20K's label colours (H, W, 3): red // 10 * 256 + green."""
    return labels[..., 0].astype(np.int64) // 10 * 256 + labels[..., 1]
