"""Physical models of sounds: impacts, strings, engines, footsteps, calls and switches.

Amplitude, pitch and brightness follow the physical cause (speed of impact, rotation, bow speed) that the picture shows
too. Free of anything that is drawn.
"""
