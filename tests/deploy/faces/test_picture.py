"""Pictures of faces: the box lies around the face, whatever the frame's size, and files keep few pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cavsync.deploy.faces.picture import MAX_HEIGHT_PX, MAX_WIDTH_PX, FacePicture, face_picture
from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.files.face_album import KEPT_FACES, FaceAlbum
from cavsync.media.face import LEFT_EYE_OUTER, NUM_POINTS, RIGHT_EYE_OUTER

Array = np.ndarray[Any, Any]


def face(track: int, left: float, top: float, size: float, presence: float = 0.9) -> Face:
    """A square face seen from the front."""
    points = np.full((NUM_POINTS, 3), 0.5)
    points[2], points[3] = (0, 0, 0), (1, 1, 0)
    points[RIGHT_EYE_OUTER], points[LEFT_EYE_OUTER] = (0.3, 0.4, 0), (0.7, 0.4, 0)
    return Face(track, size * points + (left, top, 0), presence)


def grey(width: int, height: int) -> Array:
    return np.full((height, width, 3), 90, np.uint8)


def pixels(picture: FacePicture) -> Array:
    shown = np.asarray(Image.open(io.BytesIO(picture.jpeg))).astype(int)
    assert shown.shape == (picture.height_px, picture.width_px, 3)
    return shown


def box_of(shown: Array) -> Array:
    """Left, top, right and bottom of what is yellow."""
    rows, columns = np.nonzero(shown[..., 0] - shown[..., 2] > 90)
    return np.array([columns.min(), rows.min(), columns.max(), rows.max()])


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (320, 240), (360, 1280), (64, 64)])
def test_the_box_lies_around_the_face(width: int, height: int) -> None:
    size = 0.4 * min(width, height)
    one = face(3, 0.5 * width, 0.4 * height, size)
    frame = grey(width, height)
    left, top, right, bottom = one.box.astype(int)
    frame[top:bottom, left:right] = (0, 0, 255)
    picture = face_picture(frame, 1.5, [one], one)
    assert (picture.track, picture.time_seconds) == (3, 1.5)
    assert picture.width_px <= min(width, MAX_WIDTH_PX)
    assert picture.height_px <= MAX_HEIGHT_PX
    shown = pixels(picture)
    found = box_of(shown)
    rows, columns = np.nonzero((shown[..., 2] > 180) & (shown[..., 0] < 60))
    inside = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    # The blue face fills the box up to its lines.
    assert np.all(np.abs(found - inside) <= 6)
    assert np.all((found <= inside) == [True, True, False, False])


def test_a_small_face_is_shown_large_and_other_faces_in_grey() -> None:
    one, other = face(0, 900, 300, 54), face(1, 1000, 300, 54)
    shown = pixels(face_picture(grey(1920, 1080), 0.0, [other, one], one))
    left, top, right, bottom = box_of(shown)
    # The part shown is five faces high.
    assert bottom - top == pytest.approx(shown.shape[0] / 5, abs=4)
    assert right - left == pytest.approx(bottom - top, abs=2)
    light = shown.min(axis=2) > 180
    assert light[:, int(right) + 3 :].sum() > 40
    assert not light[:, : int(left)].any()


def test_a_face_at_the_edge_stays_inside() -> None:
    one = face(0, -30, -20, 100)
    assert pixels(face_picture(grey(1280, 720), 0.0, [one], one)).shape[1] == MAX_WIDTH_PX


def test_an_album_keeps_the_best_view_of_the_longest_seen() -> None:
    album = FaceAlbum()
    views = [(0.0, 40), (1.0, 80), (2.0, 82), (3.0, 60)]
    for time_seconds, size in views:
        album.push(grey(320, 240), time_seconds, [face(0, 50, 50, size)])
    for track in range(1, 40):
        album.push(grey(320, 240), 3.0 + track, [face(track, 50, 50, 60)])
    picture = album.picture_of(np.array([0, 0, 7]))
    assert picture is not None
    # The third view is hardly better than the second.
    assert (picture.track, picture.time_seconds) == (0, 1.0)
    kept = [track for track in range(40) if album.picture_of(np.array([track])) is not None]
    assert len(kept) == KEPT_FACES
    assert {0, 39} <= set(kept)


def test_the_face_that_speaks_most_is_taken_or_the_next_that_has_a_picture() -> None:
    album = FaceAlbum()
    album.push(grey(320, 240), 0.0, [face(0, 20, 20, 60), face(1, 200, 20, 60)])
    for tracks, wanted in (([0, 1, 1], 1), ([0, 0, 1], 0), ([5, 5, 5, 1], 1)):
        picture = album.picture_of(np.array(tracks))
        assert picture is not None
        assert picture.track == wanted
    assert album.picture_of(np.array([5])) is None
