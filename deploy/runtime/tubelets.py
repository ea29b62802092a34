"""Tubelets of a stream's frames; the features of each pair of successive frames are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.engines import Engine


@dataclass(eq=False)
class SmallFrame:
    """A resized frame of one stream: `pixels` (S, S, 3) uint8, and its `number`, unique in the stream.

    `features` keeps those of its pairs with earlier frames (N, D), by the earlier frame's number.
    """

    number: int
    pixels: NDArray[np.uint8]
    features: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False)


Tubelet = list[SmallFrame]


def tubelets_of(frames: NDArray[np.uint8]) -> list[Tubelet]:
    """Return an array of tubelets (B, T, S, S, 3) that share no frames as lists."""
    _, count = frames.shape[:2]
    return [[SmallFrame(row * count + place, one) for place, one in enumerate(tube)] for row, tube in enumerate(frames)]


def stacked(tubelets: Sequence[Tubelet]) -> NDArray[np.uint8]:
    """Return the tubelets' pixels (B, T, S, S, 3)."""
    return np.stack([np.stack([frame.pixels for frame in tubelet]) for tubelet in tubelets])


def pair_features(frame_encoder: Engine, tubelets: Sequence[Tubelet]) -> NDArray[np.float32]:
    """Return the features (B, T - 1, N, D) of the pairs of tubelets of one stream; compute those that no frame keeps.

    Raises:
        BundleError: the engine failed.
    """
    pairs = [list(pairwise(tubelet)) for tubelet in tubelets]
    missing = {
        (before.number, after.number): (before, after)
        for tubelet in pairs
        for before, after in tubelet
        if before.number not in after.features
    }
    if missing:
        values = np.stack([np.stack([before.pixels, after.pixels]) for before, after in missing.values()])
        found = frame_encoder.run(values, "features")
        for (before, after), features in zip(missing.values(), found, strict=True):
            # A copy, so that one frame does not keep the features of all.
            after.features[before.number] = features.copy()
    return np.stack([np.stack([after.features[before.number] for before, after in tubelet]) for tubelet in pairs])
