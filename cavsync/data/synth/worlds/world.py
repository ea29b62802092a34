"""One world: actors of the clip's family and perhaps of another one, sources out of sight, silent movers, a place and a
camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from cavsync.data.synth.ambience import ambience
from cavsync.data.synth.camera import Camera, Frame
from cavsync.data.synth.scene import AudioArray, Sound
from cavsync.data.synth.spec import WORLD_FAMILIES, ClipSpec
from cavsync.data.synth.worlds.actor import Actor, Part
from cavsync.data.synth.worlds.echo import HeardActor, mix_world
from cavsync.data.synth.worlds.movers import movers
from cavsync.data.synth.worlds.place import place
from cavsync.data.synth.worlds.raycast import Picture, Pose
from cavsync.data.synth.worlds.registry import ACTORS, ON_FLOOR
from cavsync.data.synth.worlds.shapes import Array, Solid, turned, vector
from cavsync.data.synth.worlds.view import View

_SPACING = 0.98
_PEAK = 0.8
_SUPERSAMPLING = 1.5


@dataclass(frozen=True)
class Placed:
    """An actor in its place."""

    actor: Actor
    shift: Array
    turn: Array
    scale: float

    def solids(self, time_seconds: float) -> list[Solid]:
        """Return its solids in the world."""
        return [solid.moved(self.turn, self.scale, self.shift) for solid in self.actor.solids(time_seconds)]

    @property
    def middle(self) -> Array:
        """Where it acts."""
        return np.asarray(self.turn @ self.actor.middle * self.scale + self.shift, dtype=np.float64)


class World:
    """The world of one clip. Draws its frames in any order. `actors` can be seen where the camera looks, `hidden` ones
    are only heard. At clutter 0 it holds one actor and a still camera, without an echo.

    Raises ConfigError if the spec needs espeak-ng and it is missing.
    """

    def __init__(self, spec: ClipSpec) -> None:
        rng = spec.random("world")
        # Some clips are quiet and easy, others crowded.
        spec = replace(spec, clutter=spec.clutter * float(rng.uniform(0.0, 1.0)))
        self._spec = spec
        on_table = spec.family not in ON_FLOOR and bool(rng.random() < 0.7)
        self._place = place(spec.random("place"), on_table)
        families = _cast(rng, spec, on_table)
        self.actors = self._placed(rng, families)
        self._view = View(spec, self._place, 0.5 * _SPACING * len(families))
        self._camera = Camera(spec)
        self._movers = movers(spec, self._place, 0.5 * _SPACING * len(families))
        self.hidden: list[Actor] = []
        if rng.random() < 0.65 * spec.clutter:
            family = str(rng.choice(WORLD_FAMILIES))
            self.hidden.append(ACTORS[family](Part(spec, spec.random("hidden"), pace=1.5)))
        self._hidden_gain, self._hidden_pan = float(rng.uniform(0.2, 0.6)), float(rng.uniform(-1, 1))
        self._names = list(dict.fromkeys(placed.actor.label for placed in self.actors))
        self._still: tuple[Pose, Picture] | None = None

    def _placed(self, rng: np.random.Generator, families: list[str]) -> list[Placed]:
        """Make the actors and place them side by side."""
        placed: list[Placed] = []
        order = rng.permutation(len(families))
        for index, family in enumerate(families):
            same = families.count(family)
            pace = 1.0 if len(families) == 1 else 1.5
            part = Part(self._spec, self._spec.random(f"actor {index}"), pace, self._spec.clutter > 0, index, same)
            x = _SPACING * (float(order[index]) - (len(families) - 1) / 2)
            shift = vector(x, 0.0, rng.uniform(-0.1, 0.1) * self._spec.clutter)
            actor = ACTORS[family](part)
            # Actors of one kind are told apart by number.
            if any(actor.label == other.actor.label for other in placed):
                actor = replace(actor, label=f"{actor.label}-{index + 1}")
            placed.append(Placed(actor, shift, turned(yaw=rng.uniform(-0.35, 0.35)), rng.uniform(1.0, 1.12)))
        return placed

    @property
    def sounds(self) -> list[Sound]:
        """All sounds of visible objects, dry."""
        return [replace(sound, label=placed.actor.label) for placed in self.actors for sound in placed.actor.sounds]

    def events(self) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
        """Return the (time, label) of the events inside the clip that are seen, and of those that are only heard: of
        sources out of sight, or while the camera looks elsewhere."""
        seen: list[tuple[float, str]] = []
        unseen: list[tuple[float, str]] = []
        for placed in self.actors:
            for time in placed.actor.events:
                if 0 <= time < self._spec.duration_seconds:
                    (seen if self._view.sees(placed.middle, time) else unseen).append((time, placed.actor.label))
        unseen += [
            (time, actor.label)
            for actor in self.hidden
            for time in actor.events
            if 0 <= time < self._spec.duration_seconds
        ]
        return sorted(seen), sorted(unseen)

    def audio(self) -> AudioArray:
        """Return the sound of the clip, float32 (samples, channels), peak at most 0.8."""
        heard = [HeardActor(placed.actor.sounds, 1.0, 0.8 * float(placed.shift[0])) for placed in self.actors]
        heard += [HeardActor(actor.sounds, self._hidden_gain, self._hidden_pan) for actor in self.hidden]
        audio = mix_world(self._spec, self._place, heard) + ambience(self._spec)
        peak = float(np.abs(audio).max())
        return audio if peak <= _PEAK else audio * np.float32(_PEAK / peak)

    def frame(self, index: int) -> Frame:
        """Return frame `index`, RGB uint8 (height, width, 3)."""
        time_seconds = float(index / self._spec.fps)
        picture = self._draw(time_seconds, _SUPERSAMPLING)
        fine = Image.fromarray(np.clip(picture.colour * 255, 0, 255).astype(np.uint8))
        light = fine.resize((self._spec.width, self._spec.height), Image.Resampling.BOX)
        return self._camera.develop(np.asarray(light, dtype=np.float32), time_seconds, index)

    def owners(self, index: int) -> tuple[Frame, tuple[str, ...]]:
        """Return the object that each pixel of frame `index` shows, uint8 (height, width): 0 for none, i for the i-th
        of the names, which are returned too."""
        picture = self._draw(float(index / self._spec.fps), 1.0)
        return picture.owners, tuple(self._names)

    def _draw(self, time_seconds: float, scale: float) -> Picture:
        pose = self._view.pose(time_seconds)
        width, height = round(self._spec.width * scale), round(self._spec.height * scale)
        picture = Picture(width, height, pose, self._place.light, self._names)
        self._draw_place(picture, pose)
        solids = []
        for placed in self.actors:
            for solid in placed.solids(time_seconds):
                owner = placed.actor.label if solid.owner else ""
                solids.append(replace(solid, owner=owner))
        for mover in self._movers:
            solids += mover(time_seconds)
        for solid in solids:
            picture.draw(solid)
        for solid in solids:
            picture.shadow(solid)
        return picture

    def _draw_place(self, picture: Picture, pose: Pose) -> None:
        """Draw the place, or copy it if the camera has not moved since it was drawn."""
        if self._still is not None:
            earlier, drawn = self._still
            same = all(np.array_equal(a, b) for a, b in ((earlier.eye, pose.eye), (earlier.target, pose.target)))
            if same and earlier.focal == pose.focal and drawn.depth.shape == picture.depth.shape:
                picture.colour[:], picture.depth[:] = drawn.colour, drawn.depth
                return
        self._place.draw(picture)
        kept = Picture(picture.depth.shape[1], picture.depth.shape[0], pose, self._place.light, self._names)
        kept.colour, kept.depth = picture.colour.copy(), picture.depth.copy()
        self._still = (pose, kept)


def _cast(rng: np.random.Generator, spec: ClipSpec, on_table: bool) -> list[str]:
    """Return the families of the actors: the clip's, once or twice, and perhaps another one."""
    cast = [spec.family]
    if rng.random() < 0.3 * spec.clutter:
        cast.append(spec.family)
    elif rng.random() < 0.3 * spec.clutter:
        others = [name for name in WORLD_FAMILIES if name != spec.family and name != "voices"]
        cast.append(str(rng.choice([name for name in others if not (on_table and name in ON_FLOOR)])))
    return cast
