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

from cavsync.data.sound import Waveform
from cavsync.data.source import read_sound
from cavsync.errors import DataError, MediaError
from cavsync.evaluate.encoders import Encoder
from cavsync.evaluate.localization_case import TARGET_SIZE, LocalizationCase, covering_segments, still_tubelet
from cavsync.media.picture import resize_center_crop

TABLE_NAME = "prompted_segmentation.csv"
COLUMNS = ("image_location", "ade_class_id", "vggsound_file")
NO_CLASS = 0

Pixel = TypeVar("Pixel", np.uint8, np.bool_)


@dataclass(frozen=True)
class SoundPrompt:
    """One row: a picture, its labels, a sound, and the class that sounds."""

    picture: Path
    labels: Path
    sound: Path
    class_id: int


@dataclass(frozen=True)
class Ade20kSound:
    """The prompts of the folder, in the order of the table."""

    root: Path
    prompts: list[SoundPrompt]
    name: str = "ADE20K_Sound"
    protocol: str = (
        "picture and labels: short side to 224, central square; sound: mean direction of half-overlapping segments "
        "over the whole file"
    )

    @classmethod
    def open(cls, root: Path) -> Ade20kSound:
        """Read the table. Raises DataError where it lacks a column, holds no sound prompt, or a class is no number."""
        path = root / TABLE_NAME
        try:
            with path.open(encoding="utf-8", newline="") as table:
                rows = list(csv.DictReader(table))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table ({error}): download ADE20K_Sound again") from None
        absent = [column for column in COLUMNS if rows and column not in rows[0]]
        if absent:
            raise DataError(f"{path} lacks the column {absent[0]}, expected {', '.join(COLUMNS)}: download it again")
        try:
            prompts = [cls._prompt(root, row) for row in rows if row["vggsound_file"]]
        except ValueError as error:
            raise DataError(f"{path} has an ade_class_id that is no number ({error}): download it again") from None
        kept = [prompt for prompt in prompts if prompt.class_id != NO_CLASS]
        if not kept:
            raise DataError(f"{path} holds no row with a vggsound_file and a class: download ADE20K_Sound again")
        return cls(root, kept)

    @staticmethod
    def _prompt(root: Path, row: dict[str, str]) -> SoundPrompt:
        # Some tables hold paths of the machine that they were made on: only the name of the sound counts.
        sound = row["vggsound_file"].replace("\\", "/").rsplit("/", 1)[-1]
        picture = root / "frames" / row["image_location"]
        labels = (root / "annotations" / row["image_location"]).with_suffix("")
        labels = labels.with_name(f"{labels.name}_seg.png")
        return SoundPrompt(picture, labels, root / "audio" / sound, int(float(row["ade_class_id"])))

    @property
    def sources(self) -> list[str]:
        """Picture and sound of each prompt."""
        return [f"{prompt.picture.relative_to(self.root / 'frames')} + {prompt.sound.name}" for prompt in self.prompts]

    def files(self) -> list[Path]:
        """The table, and all pictures, labels and sounds that are there."""
        named = [path for prompt in self.prompts for path in (prompt.picture, prompt.labels, prompt.sound)]
        return [self.root / TABLE_NAME, *(path for path in named if path.is_file())]

    def load(self, index: int, encoder: Encoder) -> list[LocalizationCase]:
        """One prompt; MediaError where a file is missing or damaged, or the sizes of picture and labels differ."""
        prompt = self.prompts[index]
        picture, labels = read_picture(prompt.picture), read_picture(prompt.labels)
        if picture.shape != labels.shape:
            raise MediaError(
                f"{prompt.labels} has another size than {prompt.picture.name}: download both again", reason="corrupt"
            )
        sound = Waveform(read_sound(prompt.sound))
        return [
            LocalizationCase(
                name=self.sources[index],
                category=str(prompt.class_id),
                tubelet=still_tubelet(resize_center_crop(picture, encoder.img_size), encoder),
                segments=covering_segments(sound, encoder.segment_frames),
                shown=resize_center_crop(picture, TARGET_SIZE),
                target=(class_ids(nearest_center_crop(labels, TARGET_SIZE)) == prompt.class_id).astype(np.float64),
            )
        ]


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
