"""Copies of files with a constant offset removed, nothing re-encoded."""
