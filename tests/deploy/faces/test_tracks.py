"""Faces are followed by number; cuts, losses and crowds are handled, and the cost of a frame is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from cavsync.deploy.faces.detector import Detection
from cavsync.deploy.faces.tracks import LOOK_AROUND_SECONDS, MAX_FACES, SEARCH_SECONDS, FaceFinder
from cavsync.media.face import NUM_POINTS, Region

HZ = 25.0


def shape_at(centre: tuple[float, float], size: float) -> np.ndarray:
    """A face's points in a circle, with its eyes on a level and its nose between them."""
    angles = np.linspace(0, 2 * np.pi, NUM_POINTS, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles), np.zeros(NUM_POINTS)], axis=1) * size / 2
    points[33, :2], points[263, :2], points[1, :2] = (-size / 4, -size / 8), (size / 4, -size / 8), (0, size / 16)
    return points + np.array([*centre, 0])


@dataclass
class World:
    """Faces as (centre, size); stands for the detector and the mesh, and counts what they are asked."""

    faces: dict[str, tuple[tuple[float, float], float]] = field(default_factory=dict)
    num_detections: int = 0
    num_meshes: int = 0

    def detect(self, frame: np.ndarray) -> list[Detection]:
        self.num_detections += 1
        found = []
        for centre, size in self.faces.values():
            box = np.array([centre[0] - size / 2, centre[1] - size / 2, centre[0] + size / 2, centre[1] + size / 2])
            eyes = [(centre[0] - size / 4, centre[1]), (centre[0] + size / 4, centre[1])]
            found.append(Detection(box, np.array([*eyes, *[centre] * 4], dtype=float), 0.9))
        return found

    def measure(self, frame: np.ndarray, regions: list[Region]) -> list[tuple[np.ndarray, float]]:
        self.num_meshes += len(regions)
        return [self._measure(region) for region in regions]

    def _measure(self, region: Region) -> tuple[np.ndarray, float]:
        for centre, size in self.faces.values():
            if np.linalg.norm(np.array(centre) - region.centre) < size / 2 and 0.8 < region.side / size < 4:
                return shape_at(centre, size), 0.99
        return shape_at(tuple(region.centre), region.side / 2), 0.01


class Film:
    """Pushes frames of a world at 25 per second."""

    def __init__(self, world: World, *, others: list[World] | None = None) -> None:
        self.world, self.seconds = world, 0.0
        self.finder = FaceFinder([world, *(others or [])], world)  # type: ignore[list-item, arg-type]

    def play(self, frames: int, grey: int = 100) -> list[list[int]]:
        """Track numbers in each frame."""
        found = []
        for _ in range(frames):
            faces = self.finder.push(np.full((240, 320, 3), grey, np.uint8), self.seconds)
            found.append([face.track for face in faces])
            self.seconds += 1 / HZ
        return found


def test_a_moving_face_keeps_its_number() -> None:
    world = World({"a": ((100, 100), 60)})
    film = Film(world)
    for step in range(100):
        world.faces["a"] = ((100 + step, 100 + step / 2), 60 + step / 4)
        assert film.play(1) == [[0]]
    assert world.num_detections <= 2 + 4 / LOOK_AROUND_SECONDS


def test_a_cut_begins_a_new_track_even_at_the_same_place() -> None:
    film = Film(World({"a": ((100, 100), 60)}))
    assert film.play(10) == [[0]] * 10
    assert film.play(10, grey=200) == [[1]] * 10


@pytest.mark.parametrize(("size", "tracks"), [(90, {1}), (40, {1}), (66, {0})])
def test_a_face_that_is_suddenly_larger_or_smaller_was_cut_to(size: float, tracks: set[int]) -> None:
    """A cut to another size at the same place, in a frame that is as bright as before."""
    world = World({"a": ((100, 100), 60)})
    film = Film(world)
    assert film.play(10)[-1] == [0]
    world.faces["a"] = ((100, 100), size)
    assert set(film.play(10)[-1]) == tracks


def test_another_size_of_the_frames_is_a_cut() -> None:
    world = World({"a": ((100, 100), 60)})
    film = Film(world)
    film.play(10)
    film.finder.push(np.full((120, 160, 3), 100, np.uint8), film.seconds)
    assert [face.track for face in film.finder.push(np.full((120, 160, 3), 100, np.uint8), film.seconds + 0.2)] == [1]


def test_a_face_that_leaves_is_lost_and_one_that_jumps_is_another() -> None:
    world = World({"a": ((100, 100), 60)})
    film = Film(world)
    film.play(5)
    world.faces.clear()
    assert film.play(5) == [[]] * 5
    world.faces["a"] = ((220, 150), 60)
    assert [1] in film.play(1 + round(2 * SEARCH_SECONDS * HZ))


def test_a_second_face_is_found_while_the_first_is_followed() -> None:
    world = World({"a": ((80, 100), 60)})
    film = Film(world)
    film.play(20)
    world.faces["b"] = ((240, 100), 60)
    found = film.play(1 + round(LOOK_AROUND_SECONDS * HZ))
    assert found[-1] == [0, 1]


@pytest.mark.parametrize("number", [0, 1, 5, 40])
def test_the_cost_of_a_frame_is_bounded_whatever_it_shows(number: int) -> None:
    world = World({str(i): ((20 + 30 * (i % 10), 20 + 30 * (i // 10)), 24) for i in range(number)})
    film = Film(world)
    for _ in range(50):
        detections, meshes = world.num_detections, world.num_meshes
        (faces,) = film.play(1)
        assert len(faces) <= MAX_FACES
        assert world.num_detections - detections <= 1
        assert world.num_meshes - meshes <= 3 * MAX_FACES
    # Three searches while the waiting time grows to its limit.
    assert world.num_detections <= 3 + 50 / HZ / LOOK_AROUND_SECONDS


def test_searches_grow_rarer_where_there_is_no_face_until_a_cut() -> None:
    world = World()
    film = Film(world)
    film.play(100)
    assert world.num_detections <= 3 + 100 / HZ / LOOK_AROUND_SECONDS
    before = world.num_detections
    film.play(1, grey=200)
    assert world.num_detections == before + 1
    world.faces["a"] = ((100, 100), 60)
    assert [0] in film.play(1 + round(SEARCH_SECONDS * 2 * HZ), grey=200)


def test_neither_flashes_nor_a_flickering_face_make_searches_dear() -> None:
    """A cut in each frame, and a face that is there in every other frame."""
    world = World()
    film = Film(world)
    for step in range(100):
        film.play(1, grey=200 if step % 2 else 100)
    assert world.num_detections <= 1 + 100 / HZ / SEARCH_SECONDS
    before = world.num_detections
    for step in range(100):
        world.faces = {"a": ((100, 100), 60)} if step % 2 else {}
        film.play(1)
    assert world.num_detections - before <= 1 + 100 / HZ / SEARCH_SECONDS


def test_a_face_that_appears_is_found_soon() -> None:
    world = World()
    film = Film(world)
    film.play(60)
    world.faces["a"] = ((100, 100), 60)
    assert [0] in film.play(1 + round(LOOK_AROUND_SECONDS * HZ))


def test_the_second_detector_is_asked_where_the_first_finds_nothing() -> None:
    near, far = World(), World({"small": ((160, 120), 20)})
    near.faces = {}
    film = Film(near, others=[far])
    film.finder._mesh = far  # type: ignore[assignment]
    assert film.play(3)[0] == [0]
    assert (near.num_detections, far.num_detections) == (1, 1)


def test_times_that_are_set_back_do_not_stop_the_search() -> None:
    world = World()
    film = Film(world)
    film.seconds = 1000.0
    film.play(1)
    film.seconds = 0.0
    world.faces["a"] = ((100, 100), 60)
    assert film.play(1) == [[0]]
