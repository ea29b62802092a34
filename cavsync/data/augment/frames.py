"""Random changes to frames: drawn once for all frames of a clip."""

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

PixelArray = NDArray[np.uint8]


@dataclass(frozen=True)
class ColourChange:
    """Changes pixel levels to `levels * gain + offset`, (3,) each; applied when pixels are converted to float."""

    gain: NDArray[np.float32]
    offset: NDArray[np.float32]

    @classmethod
    def draw(cls, strength: float, random: np.random.Generator) -> ColourChange:
        """Draw a change of contrast, brightness and colour balance around mid-grey."""
        contrast, colour = MAX_CONTRAST_NEPERS * strength, MAX_COLOUR_NEPERS * strength
        gain = np.exp(random.uniform(-contrast, contrast) + random.uniform(-colour, colour, size=3))
        offset = 128 * (1 - gain) + random.uniform(-MAX_BRIGHTNESS_LEVELS, MAX_BRIGHTNESS_LEVELS) * strength
        return cls(gain.astype(np.float32), offset.astype(np.float32))


@dataclass(frozen=True)
class Crop:
    """A rectangle in shares of the frame, to be resized to the model's size and perhaps mirrored."""

    top: float = 0.0
    left: float = 0.0
    height: float = 1.0
    width: float = 1.0
    mirrored: bool = False

    @classmethod
    def draw(cls, augmentation: Augmentation, random: np.random.Generator) -> Crop:
        """Draw as RandomResizedCrop does: an area, an aspect ratio log-uniform in 3/4 to 4/3, a position."""
        mirrored = bool(random.random() < augmentation.mirror)
        area = random.uniform(*augmentation.crop_area)
        # Aspect ratios are limited to those with which the area fits into the frame.
        limit = max(0.0, min(math.log(MAX_ASPECT), -math.log(area)))
        aspect = math.exp(random.uniform(-limit, limit))
        height, width = min(1.0, math.sqrt(area / aspect)), min(1.0, math.sqrt(area * aspect))
        return cls(random.uniform(0, 1 - height), random.uniform(0, 1 - width), height, width, mirrored)

    def apply(self, frames: PixelArray, size: int) -> PixelArray:
        """Crop and resize frames (n, 3, H, W) uint8 to (n, 3, size, size), bilinear and antialiased."""
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
