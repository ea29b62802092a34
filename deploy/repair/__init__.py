"""Repair of files with a constant offset, by copying them without re-encoding."""
