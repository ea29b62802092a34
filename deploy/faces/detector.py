"""Face detection: MediaPipe's single-shot detectors (BlazeFace, arXiv 1907.05047), their anchors and their boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.deploy.runtime.engines import Engine

FloatArray = NDArray[np.float64]
NUM_KEYPOINTS = 6
MAX_LOGIT = 80.0
SAMPLES_PER_PIXEL = 3
"""Rows of a large frame that a row of a detector's input is made of, at least; the others are left out."""


@dataclass(frozen=True)
class AnchorGrid:
    """Square feature maps of a detector that sees `input_size` pixels: (cells per side, anchors per cell) of each."""

    input_size: int
    maps: tuple[tuple[int, int], ...]

    def centres(self) -> FloatArray:
        """Centres (anchors, 2) as x and y in shares of the input, in the order of the graph's outputs."""
        parts = []
        for cells, per_cell in self.maps:
            places = (np.arange(cells) + 0.5) / cells
            y, x = np.meshgrid(places, places, indexing="ij")
            parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), per_cell, axis=0))
        return np.concatenate(parts)


SHORT_RANGE = AnchorGrid(128, ((16, 2), (8, 6)))
"""Sees faces from about 15 % of the frame's height on."""
FULL_RANGE = AnchorGrid(192, ((48, 1),))
"""Sees faces from about 5 % of the frame's height on, and costs about four times as much."""


@dataclass(frozen=True)
class Detection:
    """A face in pixels of the frame: `box` (left, top, right, bottom); `keypoints` (6, 2): right eye, left eye, tip of
    the nose, mouth, right ear, left ear (right and left of the person); `score` in 0..1."""

    box: FloatArray
    keypoints: FloatArray
    score: float


class FaceDetector:
    """Finds faces in single frames.

    Args:
        graph: uint8 RGB (B, S, S, 3) -> `faces` (B, anchors, 17): box, keypoints and the logit of the score.
        anchors: the grid it was trained on.
        min_score: detections below it are left out.
        max_overlap: boxes that overlap by more (intersection over union) are one face; their weighted mean is given.
    """

    def __init__(self, graph: Engine, anchors: AnchorGrid, *, min_score: float = 0.5, max_overlap: float = 0.3) -> None:
        self._graph = graph
        self._size = anchors.input_size
        self._centres = anchors.centres()
        self._min_score = min_score
        self._max_overlap = max_overlap

    def detect(self, frame: NDArray[np.uint8]) -> list[Detection]:
        """Faces of an RGB frame (H, W, 3) uint8, the surest first."""
        square, scale, left, top = letterbox(frame, self._size)
        faces = self._graph.run(square[None], "faces")[0].astype(np.float64)
        scores = sigmoid(faces[:, -1])
        found = np.flatnonzero(scores >= self._min_score)
        if len(found) == 0:
            return []
        points = (faces[found, :-1] / self._size).reshape(len(found), -1, 2)
        centres = points[:, 0] + self._centres[found]
        half = points[:, 1] / 2
        keypoints = points[:, 2:] + self._centres[found, None]
        corners = np.stack([centres - half, centres + half, *np.moveaxis(keypoints, 1, 0)], axis=1)
        pixels = (corners * self._size - (left, top)) / scale
        return self._merge(pixels, scores[found])

    def _merge(self, points: FloatArray, scores: FloatArray) -> list[Detection]:
        """Weighted non-maximum suppression: each group of overlapping boxes becomes its mean by score."""
        left = list(np.argsort(-scores, kind="stable"))
        faces = []
        while left:
            shares = overlap(points[left[0], :2].ravel(), points[left, :2].reshape(-1, 4))
            group = [index for index, share in zip(left, shares, strict=True) if share > self._max_overlap]
            group = group or [left[0]]
            weights = scores[group]
            mean = np.einsum("n,npc->pc", weights, points[group]) / weights.sum()
            faces.append(Detection(mean[:2].ravel(), mean[2:], float(scores[left[0]])))
            left = [index for index in left if index not in set(group)]
        return faces


def letterbox(frame: NDArray[np.uint8], size: int) -> tuple[NDArray[np.uint8], float, int, int]:
    """The frame scaled into a square of `size` pixels with black borders, the scale, and the left and top border."""
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    skip = min(max(1, int(1 / scale / SAMPLES_PER_PIXEL)), height)
    rows = Image.fromarray(np.ascontiguousarray(frame[skip // 2 :: skip]))
    # The last row that is read may stand for fewer than the others.
    box = (0, 0, width, min(height / skip, rows.height))
    small = rows.resize(shape, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    left, top = (size - shape[0]) // 2, (size - shape[1]) // 2
    square = np.zeros((size, size, 3), np.uint8)
    square[top : top + shape[1], left : left + shape[0]] = np.asarray(small)
    return square, scale, left, top


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return probabilities of logits of any size."""
    probabilities: FloatArray = 1 / (1 + np.exp(-np.clip(logits, -MAX_LOGIT, MAX_LOGIT)))
    return probabilities


def overlap(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Intersection over union of a box (4,) with boxes (..., 4), each left, top, right and bottom."""

    def area(low: FloatArray, high: FloatArray) -> FloatArray:
        return np.asarray(np.prod(np.clip(high - low, 0, None), axis=-1))

    shared = area(np.maximum(box[:2], boxes[..., :2]), np.minimum(box[2:], boxes[..., 2:]))
    union = area(box[:2], box[2:]) + area(boxes[..., :2], boxes[..., 2:]) - shared
    shares: FloatArray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares
