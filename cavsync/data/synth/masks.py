"""Pixel-exact object masks of generated clips: the object that each pixel of a frame shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cavsync.atomic import atomic_file, remove_leftovers
from cavsync.data.synth.camera import Frame
from cavsync.data.synth.spec import WORLD_FAMILIES, ClipSpec
from cavsync.data.synth.stage import Stage, open_scene
from cavsync.data.synth.worlds.world import World

MASKS_NAME = "masks"
FACE = "face"
ENERGY_STEP_SECONDS = 0.05
# Palette of the PNGs: a black background and distinct colours for the objects.
_PALETTE = (0, 0, 0, 230, 60, 60, 60, 180, 75, 70, 110, 240, 245, 200, 30, 190, 80, 220, 70, 220, 220, 240, 130, 40,
            220, 220, 220)  # fmt: skip


@dataclass(frozen=True)
class ObjectMask:
    """The mask of frame `index`, shown from `time_seconds` on: `owners` uint8 (height, width) is i where the i-th of
    `names`, counted from 1, is visible, else 0. Occluders (a hand, a stick, a passer-by) are not part of it."""

    index: int
    time_seconds: float
    owners: Frame
    names: tuple[str, ...]


def mask_frames(spec: ClipSpec, count: int) -> list[int]:
    """Return the indices of the frames in the middles of `count` equal parts of the clip."""
    return sorted({int((place + 0.5) * spec.frame_count / count) for place in range(count)})


def render_masks(spec: ClipSpec, indices: list[int]) -> list[ObjectMask]:
    """Render the masks of the frames `indices`. Raises ConfigError if the spec needs espeak-ng and it is missing."""
    world = spec.family in WORLD_FAMILIES
    stage = World(spec) if world else Stage(spec, open_scene(spec), track_owners=True)
    # A static clip repeats its first frame.
    return [ObjectMask(index, float(index / spec.fps), *stage.owners(0 if spec.static else index)) for index in indices]


def sounding_object(family: str, label: str) -> str:
    """Return the object that makes the sound `label`: the face for speech, else the object of the same name."""
    return FACE if family == "face" else label


def object_energy(spec: ClipSpec) -> dict[str, list[float]]:
    """Return the energy of each object's sound over the clip, in steps of ENERGY_STEP_SECONDS of video time; an object
    has energy from the moment it is struck until it stops ringing. Empty for silent clips."""
    steps = math.ceil(spec.duration_seconds / ENERGY_STEP_SECONDS)
    found: dict[str, NDArray[np.float64]] = {}
    scene = World(spec) if spec.family in WORLD_FAMILIES else open_scene(spec)
    for sound in [] if spec.silent else scene.sounds:
        energy = found.setdefault(sounding_object(spec.family, sound.label), np.zeros(steps))
        times = sound.time_seconds + np.arange(len(sound.samples)) / spec.audio_rate_hz
        place = np.floor(times / ENERGY_STEP_SECONDS).astype(int)
        inside = (place >= 0) & (place < steps)
        energy += np.bincount(place[inside], sound.samples[inside].astype(np.float64) ** 2, steps)
    return {name: [float(f"{value:.3g}") for value in energy / spec.audio_rate_hz] for name, energy in found.items()}


def write_masks(spec: ClipSpec, clip_path: Path, count: int) -> dict[str, Any]:
    """Write `count` masks of a clip as palette PNGs to masks/<clip>/<frame>.png in its folder; return their record for
    truth.jsonl: `objects` (the names; pixel value i is the i-th, from 1), `frames` with `file`, `frame` and
    `time_seconds`, and `energy` of `object_energy` with its `energy_step_seconds`."""
    folder = clip_path.parent / MASKS_NAME / clip_path.stem
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    masks = render_masks(spec, mask_frames(spec, count))
    frames = []
    for mask in masks:
        path = folder / f"{mask.index:05d}.png"
        image = Image.fromarray(np.ascontiguousarray(mask.owners)).convert("L")
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(_PALETTE)
        with atomic_file(path) as stream:
            image.save(stream, format="PNG")
        name = path.relative_to(clip_path.parent).as_posix()
        frames.append({"file": name, "frame": mask.index, "time_seconds": round(mask.time_seconds, 6)})
    return {
        "objects": list(masks[-1].names),
        "frames": frames,
        "energy": object_energy(spec),
        "energy_step_seconds": ENERGY_STEP_SECONDS,
    }


def remove_masks(folder: Path, record: dict[str, Any]) -> None:
    """Delete the masks that a truth record of `folder` lists, and folders that become empty."""
    for frame in (record.get("masks") or {}).get("frames", []):
        path = folder / MASKS_NAME / Path(str(frame["file"])).parent.name / Path(str(frame["file"])).name
        path.unlink(missing_ok=True)
        for parent in (path.parent, folder / MASKS_NAME):
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
