"""Boxes and regions against brute force and against what must not change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cavsync.deploy.faces.detector import SHORT_RANGE, FaceDetector, letterbox
from cavsync.deploy.faces.tracks import frontality, overlap
from cavsync.media.face import NUM_POINTS, Region


class FixedGraph:
    """A detector's graph that always sees the same faces: (anchor, box and keypoints in input pixels, logit)."""

    def __init__(self, faces: list[tuple[int, np.ndarray, float]]) -> None:
        self.values = np.full((1, 896, 17), -100.0, np.float32)
        for anchor, numbers, logit in faces:
            self.values[0, anchor] = np.append(numbers, logit)

    def run(self, values: Any, output: str) -> np.ndarray:
        assert (values.shape, values.dtype, output) == ((1, 128, 128, 3), np.uint8, "faces")
        return self.values


def numbers(dx: float = 0.0, dy: float = 0.0, size: float = 32.0) -> np.ndarray:
    """A box of `size` pixels whose centre lies (dx, dy) from its anchor, and six keypoints at its centre."""
    return np.array([dx, dy, size, size, *[dx, dy] * 6])


@pytest.mark.parametrize(("height", "width"), [(128, 128), (360, 640), (640, 360), (1080, 1920), (33, 77)])
def test_boxes_are_placed_in_the_frame(height: int, width: int) -> None:
    """The anchor's centre in the letterboxed square, found again in the frame by undoing scale and border."""
    anchor = 2 * (16 * 7 + 9)
    centre = np.array([9.5, 7.5]) * 8
    frame = np.zeros((height, width, 3), np.uint8)
    (face,) = FaceDetector(FixedGraph([(anchor, numbers(3, -2), 5.0)]), SHORT_RANGE).detect(frame)
    scale = 128 / max(height, width)
    border = (128 - np.round(np.array([width, height]) * scale)) // 2
    expected = (centre + np.array([3, -2]) - border) / scale
    np.testing.assert_allclose(face.box.reshape(2, 2).mean(axis=0), expected)
    np.testing.assert_allclose(face.box[2:] - face.box[:2], 32 / scale)
    np.testing.assert_allclose(face.keypoints, np.tile(expected, (6, 1)))
    assert face.score == pytest.approx(1 / (1 + np.exp(-5.0)))


def test_overlapping_boxes_are_one_face_weighted_by_score() -> None:
    """Two detections of one face become their mean by score; one elsewhere stays; a weak one is left out."""
    here, other = 2 * (16 * 4 + 4), 2 * (16 * 12 + 12)
    faces = [
        (here, numbers(), 2.0),
        (here + 1, numbers(4), 0.5),
        (other, numbers(), 1.0),
        (other + 40, numbers(), -3.0),
    ]
    found = FaceDetector(FixedGraph(faces), SHORT_RANGE).detect(np.zeros((128, 128, 3), np.uint8))
    weights = 1 / (1 + np.exp(-np.array([2.0, 0.5])))
    assert [round(face.score, 4) for face in found] == [round(1 / (1 + np.exp(-x)), 4) for x in (2.0, 1.0)]
    assert found[0].box[0] == pytest.approx(4.5 * 8 - 16 + weights @ [0, 4] / weights.sum())


def test_letterbox_keeps_the_aspect_ratio() -> None:
    frame = np.full((90, 160, 3), 255, np.uint8)
    square, scale, left, top = letterbox(frame, 128)
    lit = np.argwhere(square[..., 0] > 0)
    assert (scale, left, top) == (0.8, 0, 28)
    assert (lit.min(axis=0).tolist(), lit.max(axis=0).tolist()) == ([28, 0], [99, 127])


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (2160, 3840), (719, 1279), (1, 5000), (3, 4000)])
def test_letterbox_shows_large_frames_where_it_says(height: int, width: int) -> None:
    """Each pixel of the square is the mean of the rows and columns that it stands for."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    frame = np.stack([rows * 200 / height, columns * 200 / width, rows * 0 + 9], axis=-1).astype(np.uint8)
    square, scale, left, top = letterbox(frame, 128)
    lit = np.argwhere(square[..., 2] > 0)
    expected = ((lit + 0.5 - (top, left)) / scale) * 200 / np.array([height, width])
    error = np.abs(square[lit[:, 0], lit[:, 1], :2] - expected)
    assert error[:, 1].max() <= 2
    assert height < 10 or error[:, 0].max() <= 2


@settings(deadline=None, max_examples=60)
@given(
    st.integers(20, 200), st.integers(20, 200), st.floats(-100, 300), st.floats(-100, 300), st.floats(1, 1000),
    st.floats(-3, 3), st.sampled_from([24, 48, 192]),
)  # fmt: skip
def test_a_crop_is_what_the_whole_frame_would_give(
    height: int, width: int, x: float, y: float, side: float, angle: float, size: int
) -> None:
    """Only a part of the frame is read, which must not be seen in the crop."""
    frame = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    region = Region(np.array([x, y]), side, angle)
    factor = max(1, int(side / size)) if side > 2 * size else 1
    whole = Image.fromarray(frame).reduce(factor)
    (origin, along, down) = region.to_frame(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])) / factor
    matrix = np.stack([(along - origin) / size, (down - origin) / size, origin], axis=1)
    bilinear = Image.Resampling.BILINEAR
    expected = whole.transform((size, size), Image.Transform.AFFINE, tuple(matrix.ravel()), bilinear)
    assert np.abs(region.crop(frame, size).astype(int) - np.asarray(expected)).max() <= 1


@settings(deadline=None)
@given(st.floats(20, 80), st.floats(20, 80), st.floats(10, 300), st.floats(-3, 3), st.sampled_from([24, 48, 192]))
def test_a_crop_shows_the_frame_where_the_region_says(x: float, y: float, side: float, angle: float, size: int) -> None:
    """The frame's red and green are its coordinates, so each pixel of the crop tells where it was taken."""
    columns, rows = np.meshgrid(np.arange(100), np.arange(100))
    frame = np.stack([columns * 2, rows * 2, np.full((100, 100), 255)], axis=-1).astype(np.uint8)
    region = Region(np.array([x, y]), side, angle)
    crop = region.crop(frame, size).astype(float)
    shares = (np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2) + 0.5) / size
    # Pixel centres lie half a pixel from their coordinates.
    expected = region.to_frame(shares) - 0.5
    inside = ((expected > 4) & (expected < 95)).all(axis=1)
    found = crop.reshape(-1, 3)[:, :2] / 2
    blur = max(1.0, side / size)
    assert np.abs(found - expected)[inside].max(initial=0) <= 0.75 * blur + 0.5


@pytest.mark.parametrize(
    ("other", "share"), [([0, 0, 10, 10], 1.0), ([5, 0, 15, 10], 1 / 3), ([10, 0, 20, 10], 0.0), ([2, 2, 8, 8], 0.36)]
)
def test_overlap(other: list[float], share: float) -> None:
    assert overlap(np.array([0.0, 0, 10, 10]), np.array(other, dtype=float)) == pytest.approx(share)


def test_frontality_is_1_from_the_front_and_0_in_profile() -> None:
    points = np.zeros((NUM_POINTS, 3))
    points[33], points[263] = (0, 0, 0), (10, 0, 0)
    for nose, expected in ((5, 1.0), (2.5, 0.5), (0, 0.0), (-4, 0.0), (10, 0.0)):
        points[1] = (nose, 8, 0)
        assert frontality(points) == pytest.approx(expected)
