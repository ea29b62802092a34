"""Numbers that both tracks of a stream share."""

GROUP_INSTANTS = 16
"""Instants embedded together. Groups lie at fixed places of the stream, so that results do not depend on chunks."""

MAX_JUMP_SECONDS = 600.0
"""Timestamps may jump ahead by this much; more is a broken clock, and bridging it would take memory and time."""
