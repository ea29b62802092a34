"""Frames and audio in, sync decisions out: the streaming scorer."""
