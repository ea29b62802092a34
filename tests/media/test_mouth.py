"""Heads turned to the front and the features of lips, against SciPy, Pillow and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from fake_heads import CLOSED, OPENED, head_points
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from cavsync.data.augment.faces import MIRRORED
from cavsync.media.face import MEAN_HEAD, NUM_POINTS, RIGID_POINTS, frontal
from cavsync.media.mouth import (
    INNER_LIPS,
    NUM_COORDINATES,
    NUM_LANDMARK_FEATURES,
    POINTS,
    lip_features,
    lip_shape,
    mouth_region,
)

# Points of MediaPipe's mesh that mirror each other; the others of RIGID_POINTS lie in the middle.
RIGID_PAIRS = {33: 263, 133: 362, 48: 278, 98: 327, 127: 356, 70: 300, 107: 336, 234: 454}
shifts = st.tuples(*[st.floats(-1000, 1000)] * 3)
seeds = st.integers(0, 10_000)


def face_like(seed: int, spread: float = 0.05) -> np.ndarray:
    """A head that is not the mean one."""
    random = np.random.default_rng(seed)
    return head_points(random.uniform(0, 1)) + random.normal(0, spread, (NUM_POINTS, 3))


def mirror_of(point: int) -> int:
    both = RIGID_PAIRS | {left: right for right, left in RIGID_PAIRS.items()}
    return both.get(point, point)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 500), shifts)
def test_frontal_undoes_turn_size_and_place(seed: int, scale: float, shift: tuple[float, float, float]) -> None:
    points = face_like(seed)
    turned = scale * Rotation.random(random_state=seed).apply(points) + shift
    np.testing.assert_allclose(frontal(turned), frontal(points), atol=1e-8)


@settings(deadline=None)
@given(seeds)
def test_frontal_is_the_mean_head_where_it_is_one(seed: int) -> None:
    """Axes, unit and sign are those of MEAN_HEAD, whose place is not kept."""
    points = head_points(0.5)
    found = frontal(40 * Rotation.random(random_state=seed).apply(points) + 7)
    np.testing.assert_allclose(found, points - MEAN_HEAD.mean(axis=0), atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(seeds, st.floats(0.0, 0.3))
def test_frontal_turns_as_scipy_does(seed: int, spread: float) -> None:
    points = Rotation.random(random_state=seed).apply(face_like(seed, spread))
    rigid = points[list(RIGID_POINTS)]
    centred, wanted = rigid - rigid.mean(axis=0), MEAN_HEAD - MEAN_HEAD.mean(axis=0)
    rotation, _ = Rotation.align_vectors(wanted, centred)
    turned = rotation.apply(centred)
    scale = (turned * wanted).sum() / (turned**2).sum()
    np.testing.assert_allclose(frontal(points), scale * rotation.apply(points - rigid.mean(axis=0)), atol=1e-6)


def test_no_other_turn_size_or_place_fits_better() -> None:
    """Also for a reflected head, which must not be reflected back."""
    wanted = MEAN_HEAD - MEAN_HEAD.mean(axis=0)
    for points in (face_like(1, 0.2), face_like(2) * (-1, 1, 1)):
        rigid = points[list(RIGID_POINTS)]
        found = ((frontal(points)[list(RIGID_POINTS)] - wanted) ** 2).sum()

        def misfit(values: np.ndarray, rigid: np.ndarray = rigid) -> float:
            moved = np.exp(values[3]) * Rotation.from_rotvec(values[:3]).apply(rigid) + values[4:]
            return float(((moved - wanted) ** 2).sum())

        starts = np.random.default_rng(0).normal(0, 1, (12, 7))
        best = min(minimize(misfit, start).fun for start in starts)
        assert found == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("points", [np.zeros((NUM_POINTS, 3)), np.tile([3.0, 4.0, 0.0], (NUM_POINTS, 1))])
def test_points_that_are_no_face_give_numbers(points: np.ndarray) -> None:
    assert np.isfinite(lip_features(points)).all()


def test_a_flat_face_is_not_reflected() -> None:
    """Without depth both a turn and a reflection fit; a mesh seen by a camera is never a reflection."""
    points = face_like(3) * (1, 1, 0)
    found = frontal(points)
    axes = np.linalg.lstsq(points - points.mean(axis=0), found - found.mean(axis=0), rcond=None)[0]
    assert np.linalg.det(axes[:2, :2]) > 0


def test_the_mean_head_is_symmetric() -> None:
    for point, place in zip(RIGID_POINTS, MEAN_HEAD, strict=True):
        np.testing.assert_array_equal(MEAN_HEAD[RIGID_POINTS.index(mirror_of(point))], place * (-1, 1, 1))
    eyes = [MEAN_HEAD[RIGID_POINTS.index(point)] for point in (33, 263)]
    assert np.linalg.norm(eyes[1] - eyes[0]) == 1


@settings(deadline=None)
@given(seeds)
def test_features_of_a_mirrored_face_are_the_mirrored_features(seed: int) -> None:
    points = 50 * Rotation.random(random_state=seed).apply(face_like(seed)) + 200
    image = points * (-1, 1, 1)
    swapped = image.copy()
    names = {here: mirror_of(here) for here in RIGID_POINTS} | dict(
        zip(POINTS, np.array(POINTS)[MIRRORED], strict=True)
    )
    for here, there in names.items():
        swapped[here] = image[there]
    found, mirrored = lip_features(points), lip_features(swapped)
    landmarks = found[:NUM_COORDINATES].reshape(-1, 3)[MIRRORED] * (-1, 1, 1)
    np.testing.assert_allclose(mirrored[:NUM_COORDINATES], landmarks.ravel(), atol=1e-6)
    np.testing.assert_allclose(mirrored[NUM_COORDINATES:], found[NUM_COORDINATES:], atol=1e-6)


@settings(deadline=None)
@given(seeds, st.floats(0.1, 500), shifts)
def test_lip_features_do_not_follow_the_head(seed: int, scale: float, shift: tuple[float, float, float]) -> None:
    points = face_like(seed)
    turned = scale * Rotation.random(random_state=seed).apply(points) + shift
    assert lip_features(points).shape == (NUM_LANDMARK_FEATURES,)
    np.testing.assert_allclose(lip_features(turned), lip_features(points), atol=1e-6)


@settings(deadline=None)
@given(seeds, st.floats(2, 500), st.floats(-3, 3), shifts)
def test_the_mouth_s_square_follows_the_face(
    seed: int, scale: float, angle: float, shift: tuple[float, float, float]
) -> None:
    points, turn = face_like(seed), Rotation.from_euler("z", angle)
    first, other = mouth_region(points * scale), mouth_region(scale * turn.apply(points) + shift)
    assert other.side == pytest.approx(first.side)
    np.testing.assert_allclose(other.centre, turn.apply(np.append(first.centre, 0))[:2] + shift[:2], atol=1e-6)
    assert np.cos(other.angle - first.angle - angle) == pytest.approx(1)


def test_features_are_where_they_are_said_to_be() -> None:
    """x, y and z of each of POINTS, then area, width and opening of a mouth that is known."""
    for opening in (0.0, 0.3, 1.0):
        found = lip_features(12 * head_points(opening) + 99)
        landmarks = head_points(opening)[list(POINTS)] - MEAN_HEAD.mean(axis=0)
        np.testing.assert_allclose(found[:NUM_COORDINATES].reshape(-1, 3), landmarks, atol=1e-6)
        assert found[-2:] == pytest.approx([2 * 0.33, CLOSED + OPENED * opening], abs=1e-6)


def test_the_area_inside_the_lips_is_that_of_its_pixels() -> None:
    """Of rings in any frame, and whatever their depth."""
    random, landmarks = np.random.default_rng(0), np.zeros((2, len(POINTS), 3))
    landmarks[..., 2] = random.normal(0, 100, landmarks.shape[:2])
    angles = np.linspace(0, 2 * np.pi, len(INNER_LIPS), endpoint=False)
    wanted = []
    for frame, height in enumerate((80, 200)):
        ring = np.stack([300 + 200 * np.cos(angles), 300 + height * np.sin(angles)], axis=1)
        landmarks[frame, [POINTS.index(point) for point in INNER_LIPS], :2] = ring
        mask = Image.new("1", (600, 600))
        ImageDraw.Draw(mask).polygon([tuple(point) for point in ring], fill=1)
        wanted.append(np.asarray(mask).sum())
    assert lip_shape(landmarks)[:, 0] == pytest.approx(wanted, rel=0.01)
