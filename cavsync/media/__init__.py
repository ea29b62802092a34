"""Reading media with PyAV, honouring timestamps. NumPy and Pillow only: training and scoring share it, torch or not."""

from cavsync.media.container import MediaInfo
from cavsync.media.decode import AudioChunk, MediaReader, VideoFrame
from cavsync.media.frame import resize_center_crop

__all__ = ["AudioChunk", "MediaInfo", "MediaReader", "VideoFrame", "resize_center_crop"]
