"""The families of worlds by name."""

from __future__ import annotations

from cavsync.data.synth.worlds.actor import MakeActor
from cavsync.data.synth.worlds.families import (
    animals,
    balls,
    bowed,
    machines,
    plucked,
    screen,
    tools,
    voices,
    walking,
)

ACTORS: dict[str, MakeActor] = {
    "balls": balls.make,
    "tools": tools.make,
    "plucked": plucked.make,
    "bowed": bowed.make,
    "animals": animals.make,
    "machines": machines.make,
    "walking": walking.make,
    "screen": screen.make,
    "voices": voices.make,
}
# These need the floor; all others stand on a table as well as on the floor.
ON_FLOOR = ("walking",)
