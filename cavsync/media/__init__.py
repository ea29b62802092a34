"""Media reading with PyAV that keeps the container's timestamps.

Training and scoring share it, so it depends on PyAV, NumPy and Pillow only, not on torch. Public: the names below.
"""

from cavsync.media.container import MediaInfo
from cavsync.media.decode import MediaReader, VideoFrame
from cavsync.media.frame import resize_center_crop
from cavsync.media.memory import limit_blocks
from cavsync.media.resample import AudioChunk

__all__ = ["AudioChunk", "MediaInfo", "MediaReader", "VideoFrame", "resize_center_crop"]

# Here, so that it holds before any module of this package or above it opens a file.
limit_blocks()
