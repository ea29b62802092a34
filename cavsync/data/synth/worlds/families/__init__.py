"""The families of worlds: one file each, with a function `make` that draws an actor."""
