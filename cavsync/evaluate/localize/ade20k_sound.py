"""ADE20K_Sound (DenseAV, arXiv 2406.05629): pictures of ADE20K prompted with sounds of VGGSound.

The published folder: `prompted_segmentation.csv` (image_location, ade_class_id, vggsound_file, ...), the pictures in
`frames/`, ADE20K's label pictures in `annotations/` as `NAME_seg.png`, the sounds in `audio/`.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydantic import JsonValue

from cavsync.data.audio_file import read_audio
from cavsync.data.clip_audio import Waveform
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.inputs.encoders import Encoder
from cavsync.evaluate.localize.case import TARGET_SIZE, LocalizationCase, covering_segments, still_tubelet
from cavsync.media.frame import resize_center_crop

TABLE_NAME = "prompted_segmentation.csv"
COLUMNS = ("image_location", "ade_class_id", "vggsound_file")
NO_CLASS = 0

Pixel = TypeVar("Pixel", np.uint8, np.bool_)


@dataclass(frozen=True)
class SoundPrompt:
    """One row: a picture, its labels, a sound, and the class that sounds."""

    name: str
    picture: Path
    labels: Path
    audio: Path
    class_id: int


@dataclass(frozen=True)
class UnusableRow:
    """A row that is no prompt, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Ade20kSound:
    """The prompts of the folder, in the order of the table."""

    root: Path
    rows: list[SoundPrompt | UnusableRow]
    name: str = "ADE20K_Sound"

    @classmethod
    def open(cls, root: Path) -> Ade20kSound:
        """Read the table. Raises DataError where it lacks a column or holds no sound prompt."""
        path = root / TABLE_NAME
        try:
            with path.open(encoding="utf-8", newline="") as table:
                rows = list(csv.DictReader(table))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table ({error}): download ADE20K_Sound again") from None
        absent = [column for column in COLUMNS if rows and column not in rows[0]]
        if absent:
            raise DataError(f"{path} lacks the column {absent[0]}, expected {', '.join(COLUMNS)}: download it again")
        # An empty vggsound_file is no sound prompt: the table holds prompts by speech too.
        found = [_prompt(root, row, number) for number, row in enumerate(rows, start=1) if row["vggsound_file"] != ""]
        if not any(isinstance(row, SoundPrompt) for row in found):
            raise DataError(f"{path} holds no row with a vggsound_file and a class: download ADE20K_Sound again")
        return cls(root, found)

    @property
    def protocol(self) -> dict[str, JsonValue]:
        """As published, but for how a whole file is heard, which is ours."""
        return {
            "picture": "picture and labels: short side to 224, central square",
            "sound": "mean direction of half-overlapping segments over the whole file: this project's own choice",
            "target": "pixels of the prompted class",
        }

    @property
    def sources(self) -> list[str]:
        """Picture and sound of each prompt."""
        return [row.name for row in self.rows]

    def files(self) -> list[Path]:
        """The table, and all pictures, labels and sounds that are there."""
        prompts = [row for row in self.rows if isinstance(row, SoundPrompt)]
        named = [path for prompt in prompts for path in (prompt.picture, prompt.labels, prompt.audio)]
        return [self.root / TABLE_NAME, *(path for path in named if path.is_file())]

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """One prompt; MediaError where the row is incomplete, a file is missing or damaged, or the sizes of picture and
        labels differ."""
        prompt = self.rows[index]
        if isinstance(prompt, UnusableRow):
            raise MediaError(f"{prompt.name} {prompt.reason}: correct the table or leave it out", reason="label")
        picture, labels = read_picture(prompt.picture), read_picture(prompt.labels)
        if picture.shape != labels.shape:
            raise MediaError(
                f"{prompt.labels} has another size than {prompt.picture.name}: download both again", reason="corrupt"
            )
        audio = Waveform(read_audio(prompt.audio))
        return [
            LocalizationCase(
                name=prompt.name,
                category=str(prompt.class_id),
                tubelet=still_tubelet(resize_center_crop(picture, encoder.img_size), encoder),
                segments=covering_segments(audio, encoder.segment_frames),
                shown=resize_center_crop(picture, TARGET_SIZE),
                target=(class_ids(nearest_center_crop(labels, TARGET_SIZE)) == prompt.class_id).astype(np.float64),
            )
        ]


def _prompt(root: Path, row: dict[str, str], number: int) -> SoundPrompt | UnusableRow:
    """Row `number` of the table, from 1."""
    place = f"row {number} of {TABLE_NAME}"
    # A row that is too short lacks its last values.
    absent = [column for column in COLUMNS if not row[column]]
    if absent:
        return UnusableRow(place, f"has no {absent[0]}")
    # Some tables hold paths of the machine that they were made on: only the name of the sound counts.
    audio = row["vggsound_file"].replace("\\", "/").rsplit("/", 1)[-1]
    name = f"{row['image_location']} + {audio}"
    try:
        class_id = int(float(row["ade_class_id"]))
    except (ValueError, OverflowError):
        return UnusableRow(f"{name} ({place})", f"has the class '{row['ade_class_id']}', which is no number")
    if class_id == NO_CLASS:
        return UnusableRow(f"{name} ({place})", "has no class (0)")
    labels = (root / "annotations" / row["image_location"]).with_suffix("")
    labels = labels.with_name(f"{labels.name}_seg.png")
    return SoundPrompt(name, root / "frames" / row["image_location"], labels, root / "audio" / audio, class_id)


def class_ids(labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """ADE20K's label colours (H, W, 3) as class numbers: tens of red count 256, green counts 1."""
    return labels[..., 0].astype(np.int64) // 10 * 256 + labels[..., 1]


def nearest_center_crop(picture: NDArray[Pixel], size: int) -> NDArray[Pixel]:
    """`resize_center_crop` without mixing pixels, for labels: (H, W[, C]) -> (size, size[, C])."""
    height, width = picture.shape[:2]
    side = min(height, width)
    steps = (np.arange(size) + 0.5) * side / size
    rows, columns = ((steps + (whole - side) / 2).astype(int) for whole in (height, width))
    cropped: NDArray[Pixel] = picture[rows][:, columns]
    return cropped


def read_picture(path: Path) -> NDArray[np.uint8]:
    """RGB (H, W, 3); MediaError where there is no readable picture."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except FileNotFoundError:
        raise MediaError(f"{path} is missing: download the data set again", reason="missing") from None
    except (OSError, UnidentifiedImageError) as error:
        raise MediaError(f"{path} is no readable picture ({error}): download it again", reason="corrupt") from None
