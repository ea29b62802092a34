"""Constants that several parts of the stream share."""

GROUP_INSTANTS = 16
"""Largest number of instants embedded together. Groups lie at fixed places, so results do not depend on chunks."""

JUMP_BACK_SECONDS = 1.0
"""Timestamps that go back by less belong to a stray packet, which is ignored; by more, to a clock that was set back."""

HOLE_SECONDS = 10.0
"""Longest hole in the timestamps that a window may contain; after a longer one, windows start over."""

JUMP_SECONDS = 1.0
"""How long a longer hole, or a clock that is set back, counts in what a frame waits for its audio: timestamps that jump
do not tell how late the audio is."""

PATIENCE_SECONDS = 5.0
"""Clocks of video and audio that are set back within this time of each other were set back together."""
