"""Frames are made small to the same bytes as in Python, which trains with them."""

import subprocess
from pathlib import Path

import numpy as np

from cavsync.media import resize_center_crop

# Enlarged, unchanged, odd margins, cut first, reduced by 2 to 8 with and without a rest; tall ones, whose rows Pillow
# 13 resizes first.
SIZES = [
    *((16, 16, 16), (8, 5, 16), (17, 16, 16), (64, 31, 32), (97, 55, 16), (64, 64, 16), (65, 200, 16), (640, 360, 64)),
    *((1280, 720, 64), (721, 1279, 64), (333, 777, 64), (1920, 1080, 112), (500, 130, 16), (1, 9, 4), (129, 128, 16)),
    *((16, 49, 16), (20, 400, 64), (40, 300, 16), (65, 300, 16), (333, 2001, 112), (20, 60, 16), (17, 70, 16)),
]


def test_small_frames_are_identical(build: Path) -> None:
    rng = np.random.default_rng(5)
    given, wanted = b"", b""
    for width, height, size in SIZES:
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        given += np.array([width, height, size], "<i4").tobytes() + frame.tobytes()
        wanted += resize_center_crop(frame, size).tobytes()
    assert subprocess.run([build / "small_frames"], input=given, capture_output=True, check=True).stdout == wanted
