"""Worlds: clips in three dimensions, with textures, light, a camera that moves and cuts, and sounds in a room.

    actor = ACTORS["balls"](Part(spec, rng))    # what moves and sounds
    world = World(spec)                         # place, actors, silent movers, camera
    world.frame(12), world.audio()

`registry` names the families, which have a file each in `families/`; `sounds/` holds their physical models. Drawing is
`shapes`, `grains` and `raycast`; `place`, `view`, `movers` and `echo` surround the actors.
"""
