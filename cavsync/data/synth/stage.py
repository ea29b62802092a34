"""The stage of one clip, which combines scenery, scene and camera into frames."""

from __future__ import annotations

from collections.abc import Callable

from cavsync.data.synth.camera import Camera, Frame
from cavsync.data.synth.canvas import Canvas
from cavsync.data.synth.drummer import Drummer
from cavsync.data.synth.face import Face
from cavsync.data.synth.impacts import Impacts
from cavsync.data.synth.keys import Keys
from cavsync.data.synth.scene import Scene
from cavsync.data.synth.scenery import background, distractors
from cavsync.data.synth.spec import ClipSpec

_SCENES: dict[str, Callable[[ClipSpec], Scene]] = {"impacts": Impacts, "drummer": Drummer, "keys": Keys, "face": Face}


def open_scene(spec: ClipSpec) -> Scene:
    """Make the scene of a clip's family. Raises ConfigError if the spec needs espeak-ng and it is missing."""
    return _SCENES[spec.family](spec)


class Stage:
    """Draws a clip's frames in any order; with `track_owners` also the object that each pixel shows."""

    def __init__(self, spec: ClipSpec, scene: Scene, *, track_owners: bool = False) -> None:
        self._spec, self._camera = spec, Camera(spec)
        margin = max(4, min(spec.width, spec.height) // 16)
        canvas = Canvas(spec.width, spec.height, margin, track_owners=track_owners)
        canvas.load(background(spec.random("background"), canvas.size), canvas.owners)
        self._movers = [*distractors(spec, behind=True), scene, *distractors(spec, behind=False)]
        scene.draw_still(canvas)
        self._canvas, self._still, self._still_owners = canvas, canvas.image, canvas.owners

    def frame(self, index: int) -> Frame:
        """Return frame `index`, RGB uint8 (height, width, 3)."""
        time_seconds = self._draw(index)
        return self._camera.expose(self._canvas, time_seconds, index)

    def owners(self, index: int) -> tuple[Frame, tuple[str, ...]]:
        """Return the object that each pixel of frame `index` shows, uint8 (height, width): 0 for none, i for the i-th
        of the names, which are returned too."""
        time_seconds = self._draw(index)
        return self._camera.owners(self._canvas, time_seconds), tuple(self._canvas.owner_names)

    def _draw(self, index: int) -> float:
        """Draw the frame on the canvas; return its time in seconds."""
        time_seconds = float(index / self._spec.fps)
        self._canvas.load(self._still, self._still_owners)
        for mover in self._movers:
            mover.draw(self._canvas, time_seconds)
        return time_seconds
