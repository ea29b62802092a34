"""Faces of real clips: found in each frame under one number, small ones too, and none where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_folder import shared_folder

from cavsync.deploy.faces.graphs import open_face_finder
from cavsync.deploy.faces.tracks import Face
from cavsync.media import MediaReader, VideoFrame

pytestmark = pytest.mark.shared


def frames_of(name: str, count: int) -> list[tuple[float, np.ndarray]]:
    """The first frames of a shared clip, with their times."""
    found = []
    with MediaReader(shared_folder("data") / "clips" / name) as reader:
        for item in reader:
            if isinstance(item, VideoFrame):
                found.append((item.pts_seconds, item.rgb))
                if len(found) == count:
                    break
    return found


def faces_of(frames: list[tuple[float, np.ndarray]]) -> list[list[Face]]:
    """The faces in each frame, followed by one finder."""
    finder = open_face_finder()
    return [finder.push(frame, seconds) for seconds, frame in frames]


@pytest.mark.parametrize("name", ["grid/bbaf2n.mpg", "hdtf/RD_Radio2_000.mp4", "lrs3-face/95ovIJ3dsNk_00009.mp4"])
def test_a_speaker_is_followed_under_one_number(name: str) -> None:
    found = faces_of(frames_of(name, 50))
    assert [[face.track for face in faces] for faces in found] == [[0]] * 50
    assert min(face.presence for faces in found for face in faces) > 0.9


@pytest.mark.parametrize("height", [48, 40])
def test_small_faces_are_found_by_the_second_detector(height: int) -> None:
    """A speaker shrunk into a frame of 640x360, where the face is about a tenth of the height."""
    (_, speaker), *_ = frames_of("grid/bbaf2n.mpg", 1)
    small = Image.fromarray(speaker).resize((round(speaker.shape[1] * height * 2 / speaker.shape[0]), height * 2))
    frame = np.full((360, 640, 3), 90, np.uint8)
    frame[200 : 200 + height * 2, 400 : 400 + small.width] = np.asarray(small)
    ((face,),) = faces_of([(0.0, frame)])
    centre = (face.box[:2] + face.box[2:]) / 2
    np.testing.assert_allclose(centre, (400 + small.width * 0.43, 200 + height * 2 * 0.66), atol=height * 0.25)


def test_mirroring_the_frame_mirrors_the_face() -> None:
    frames = frames_of("grid/bbaf2n.mpg", 5)
    mirrored = [(seconds, np.ascontiguousarray(frame[:, ::-1])) for seconds, frame in frames]
    width = frames[0][1].shape[1]
    (face,), (other,) = faces_of(frames)[-1], faces_of(mirrored)[-1]
    assert np.abs(width - other.points[[61, 291], 0] - face.points[[291, 61], 0]).max() < 0.03 * face.eye_distance_px
    assert abs(face.frontality - other.frontality) < 0.1


def test_clips_without_people_have_no_faces() -> None:
    folder: Path = shared_folder("data") / "clips" / "greatest-hits"
    names = sorted(path.name for path in folder.glob("greatesthits_*.mp4"))[:3]
    for name in names:
        assert not any(faces_of(frames_of(f"greatest-hits/{name}", 20)))
