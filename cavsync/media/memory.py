"""A limit on the memory that FFmpeg takes because of a size that a file merely declares."""

from __future__ import annotations

import ctypes
import logging

import av._core

log = logging.getLogger(__name__)

MAX_BLOCK_BYTES = 512 << 20
"""Largest block that FFmpeg may allocate in this process: one uncompressed frame of 16K UHD takes 398 MB."""


def limit_blocks() -> None:
    """Make FFmpeg refuse larger blocks than `MAX_BLOCK_BYTES`, in the whole process and from now on.

    A file of a few bytes may declare a tag of 2 GiB, which FFmpeg allocates and clears before it notices the end.
    """
    # PyAV has no function for it, but its module is linked to the library that has one.
    limit = getattr(ctypes.CDLL(av._core.__file__), "av_max_alloc", None)
    if limit is None:
        log.warning("FFmpeg's memory cannot be limited on this system: a damaged file may take 2 GiB")
        return
    limit.argtypes, limit.restype = [ctypes.c_size_t], None
    limit(MAX_BLOCK_BYTES)
