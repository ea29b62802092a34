"""Numbers that both tracks of a stream share."""

GROUP_INSTANTS = 16
"""Instants embedded together. Groups lie at fixed places of the stream, so that results do not depend on chunks."""

JUMP_BACK_SECONDS = 1.0
"""Timestamps that go back by less are a stray packet, which is ignored; by more, the clock itself was set back."""

HOLE_SECONDS = 10.0
"""A hole in the timestamps up to this long lies inside a window; after a longer one, decisions begin anew."""

PATIENCE_SECONDS = 5.0
"""Clocks of video and audio that are set back within this much of each other were set back together."""

LIVE_PATIENCE_SECONDS = 5.0
"""How long audio that is due may be missing from a live stream: an alarm that comes half a minute late is none."""


def live_lead_seconds(max_offset_ms: float) -> float:
    """`max_lead_seconds` of a live stream: the audio at the end of the search range is due that much later anyway."""
    return LIVE_PATIENCE_SECONDS + max_offset_ms / 1000
