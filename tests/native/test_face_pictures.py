"""The squares of a frame that the face path sees are those of Python, to the byte: the models get the same input."""

import subprocess
from pathlib import Path

import numpy as np

from cavsync.deploy.faces.detector import letterbox
from cavsync.media.face import Region

# Width, height, centre, side, angle, size: upright and turned, enlarged, reduced by whole numbers first, reaching over
# each edge, outside the frame, larger than it.
SQUARES = [
    *((64, 48, (32.0, 24.0), 20.0, 0.0, 48), (64, 48, (31.3, 20.7), 33.1, 0.2, 48)),
    *((640, 360, (320.5, 180.25), 171.9, -0.4, 192), (640, 360, (20.0, 15.0), 150.0, 0.9, 48)),
    *((1280, 720, (640.0, 350.0), 611.7, 0.05, 192), (1280, 720, (1270.0, 700.0), 500.0, -1.3, 192)),
    *((1920, 1080, (900.0, 500.0), 1200.0, 3.1, 192), (1920, 1080, (1000.0, 555.5), 333.3, 0.0, 48)),
    *((333, 777, (160.0, 400.0), 700.0, 1.5707963, 192), (101, 67, (50.0, 33.0), 3000.0, 0.3, 192)),
    *((64, 64, (-200.0, 30.0), 50.0, 0.1, 48), (7, 5, (3.0, 2.0), 1.0, 0.0, 48)),
]
FRAMES = [
    (64, 48),
    (128, 128),
    (100, 300),
    (640, 360),
    (1280, 720),
    (1920, 1080),
    (1080, 1920),
    (333, 777),
    (3840, 2160),
]
FRAMES += [(97, 55), (1, 9), (9, 1), (200, 128), (128, 72), (1921, 403)]


def test_squares_are_identical(build: Path) -> None:
    rng = np.random.default_rng(8)
    given, wanted = b"", b""
    for width, height, centre, side, angle, size in SQUARES:
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        given += np.array([width, height], "<i4").tobytes() + frame.tobytes()
        given += np.array([*centre, side, angle, size], "<f8").tobytes()
        wanted += Region(np.array(centre), side, angle).crop(frame, size).tobytes()
    for width, height in FRAMES:
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        given += np.array([width, height], "<i4").tobytes() + frame.tobytes() + bytes(40)
        wanted += letterbox(frame, 128)[0].tobytes()
    assert subprocess.run([build / "face_pictures"], input=given, capture_output=True, check=True).stdout == wanted
