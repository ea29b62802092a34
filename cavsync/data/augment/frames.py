"""Random changes of frames: one draw for all frames of a clip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cavsync.data.augment.config import Augmentation

MAX_ASPECT = 4 / 3
MAX_CONTRAST_NEPERS = 0.3
MAX_COLOUR_NEPERS = 0.1
MAX_BRIGHTNESS_LEVELS = 30.0

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class ColourChange:
    """Pixel levels become `levels * gain + offset`, (3,) each; applied where pixels turn into floating point anyway."""

    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, strength: float, random: np.random.Generator) -> ColourChange:
        """Another contrast, brightness and colour balance, around mid-grey."""
        contrast, colour = MAX_CONTRAST_NEPERS * strength, MAX_COLOUR_NEPERS * strength
        gain = np.exp(random.uniform(-contrast, contrast) + random.uniform(-colour, colour, size=3))
        offset = 128 * (1 - gain) + random.uniform(-MAX_BRIGHTNESS_LEVELS, MAX_BRIGHTNESS_LEVELS) * strength
        return cls(gain.astype(np.float32), offset.astype(np.float32))


@dataclass(frozen=True)
class Crop:
    """A rectangle in shares of the frame, resized to the model's size; mirrored or not."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    mirrored: bool = False

    @classmethod
    def draw(cls, augmentation: Augmentation, random: np.random.Generator) -> Crop:
        """RandomResizedCrop's draw: an area, an aspect ratio log-uniform in 3/4 to 4/3, a place."""
        mirrored = bool(random.random() < augmentation.mirror)
        area = random.uniform(*augmentation.crop_area)
        # An aspect that would not fit is drawn in towards the square.
        limit = max(0.0, min(math.log(MAX_ASPECT), -math.log(area)))
        aspect = math.exp(random.uniform(-limit, limit))
        height, width = min(1.0, math.sqrt(area / aspect)), min(1.0, math.sqrt(area * aspect))
        return cls(random.uniform(0, 1 - height), random.uniform(0, 1 - width), height, width, mirrored)

    def of(self, frames: Frames, size: int) -> Frames:
        """Frames (n, 3, H, W) uint8 -> (n, 3, size, size), bilinear and antialiased."""
        rows, columns = frames.shape[-2:]
        top, left = round(self.top * rows), round(self.left * columns)
        bottom, right = top + max(1, round(self.height * rows)), left + max(1, round(self.width * columns))
        cut = frames[..., top:bottom, left:right]
        if cut.shape[-2:] != (size, size):
            resized = F.interpolate(
                torch.from_numpy(np.ascontiguousarray(cut)), (size, size), mode="bilinear", antialias=True
            )
            cut = resized.numpy()
        return cut[..., ::-1] if self.mirrored else cut
