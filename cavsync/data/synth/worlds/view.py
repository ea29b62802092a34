"""The camera of a world: shots with cuts between them, cutaways, pans and dollies, and shake of a hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cavsync.data.synth.camera import Camera
from cavsync.data.synth.rhythm import bursts
from cavsync.data.synth.spec import ClipSpec
from cavsync.data.synth.worlds.place import Place
from cavsync.data.synth.worlds.raycast import Pose
from cavsync.data.synth.worlds.shapes import Array, vector

_CUTAWAY_SECONDS = 0.9


@dataclass(frozen=True)
class Shot:
    """A take from `start_seconds` on: where the camera stands and looks, and how it drifts per second."""

    start_seconds: float
    eye: Array
    target: Array
    focal: float
    glide: Array
    pan: Array


class View:
    """The camera's pose over time. Cuts come at moments that are independent of the sound; `clutter` scales their
    number and all movement, and at 0 the camera stands still in front of the act."""

    def __init__(self, spec: ClipSpec, place: Place, reach: float) -> None:
        rng = spec.random("view")
        self._spec, self._camera = spec, Camera(spec)
        self._place = place
        self.shots = [self._shot(rng, -1e9, reach)]
        if rng.random() < 0.5 * spec.clutter:
            for start in bursts(rng, spec.duration_seconds, rng.uniform(1.6, 3.5), spec.clutter):
                if rng.random() < 0.25:
                    self.shots.append(self._cutaway(rng, float(start), reach))
                    start += _CUTAWAY_SECONDS
                self.shots.append(self._shot(rng, float(start), reach))

    def _shot(self, rng: np.random.Generator, start_seconds: float, reach: float) -> Shot:
        """Draw a shot that holds everything within `reach` metres to both sides of the middle."""
        spec, short = self._spec, min(self._spec.width, self._spec.height)
        focal = rng.uniform(1.1, 1.6)
        wide = (reach + 0.05) * 2 * focal * short / spec.width
        distance = max(wide, 1.3 * focal * short / spec.height) + 0.2
        turn, lift = rng.uniform(-0.5, 0.5) * (0.4 + 0.6 * spec.clutter), rng.uniform(0.12, 0.5)
        target = vector(rng.uniform(-0.08, 0.08), 0.42, 0.0)
        eye = target + distance * vector(np.sin(turn) * np.cos(lift), np.sin(lift), -np.cos(turn) * np.cos(lift))
        speed = spec.clutter * float(rng.choice([0.0, 1.0]))
        glide = speed * rng.uniform(-0.15, 0.15, 3) * np.array([1.0, 0.3, 0.5])
        return Shot(start_seconds, eye, target, focal, glide, speed * rng.uniform(-0.05, 0.05, 3))

    def _cutaway(self, rng: np.random.Generator, start_seconds: float, reach: float) -> Shot:
        """Draw a short shot of something else, with the act out of the frame."""
        side = float(rng.choice([-1.0, 1.0]))
        target = vector(side * (reach + 3.0), rng.uniform(0.2, 1.0), rng.uniform(0.5, 2.0))
        eye = vector(side * (reach - 0.3), rng.uniform(0.4, 1.0), -2.0)
        return Shot(start_seconds, eye, target, 1.4, np.zeros(3), np.zeros(3))

    def pose(self, time_seconds: float) -> Pose:
        """Return the camera's pose at one instant."""
        shot = next(shot for shot in reversed(self.shots) if shot.start_seconds <= time_seconds)
        # Slow drifts swing back, so that the act stays in the frame however long the shot is.
        moved = float(np.sin(0.9 * (time_seconds - max(shot.start_seconds, 0.0)))) / 0.9
        right, down = self._camera.shake(time_seconds)
        target = shot.target + shot.pan * moved
        eye = np.clip(shot.eye + shot.glide * moved, self._place.low + 0.1, self._place.high - 0.1)
        pose = Pose(eye, target, shot.focal)
        if right or down:
            basis = pose.basis()
            scale = float(np.linalg.norm(target - eye)) / (shot.focal * min(self._spec.width, self._spec.height))
            pose = Pose(eye, target + scale * (right * basis[:, 0] - down * basis[:, 1]), shot.focal)
        return pose

    def sees(self, point: Array, time_seconds: float) -> bool:
        """Return whether a point lies within the frame at one instant."""
        pose = self.pose(time_seconds)
        place = (point - pose.eye) @ pose.basis()
        if place[2] <= 0.05:
            return False
        short = min(self._spec.width, self._spec.height)
        limits = np.array([self._spec.width, self._spec.height]) / (2 * pose.focal * short)
        return bool((np.abs(place[:2] / place[2]) < limits).all())
