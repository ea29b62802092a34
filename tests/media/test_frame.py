"""Parts of frames as Pillow images, and the whole picture cut from them: pixel for pixel as from the whole frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cavsync.media.frame import REDUCING_GAP, pillow_image, resize_center_crop

sides = st.integers(8, 700)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 40, 30), (3, 5, 17, 6), (39, 29, 40, 30), (0, 29, 40, 30)])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_part_has_the_pixels_of_the_frame(box: tuple[int, int, int, int], is_mirrored: bool) -> None:
    """Also at the end of the last row, and of a frame whose rows do not lie in order."""
    frame = noise(30, 40)[:, :: -1 if is_mirrored else 1]
    left, top, right, bottom = box
    np.testing.assert_array_equal(np.asarray(pillow_image(frame, box)), frame[top:bottom, left:right])


@settings(deadline=None, max_examples=40)
@given(sides, sides, st.sampled_from([16, 64, 112]))
def test_the_centre_is_cut_as_from_the_whole_frame(height: int, width: int, size: int) -> None:
    frame, side = noise(height, width), min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    wanted = Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC, box, REDUCING_GAP)
    np.testing.assert_array_equal(resize_center_crop(frame, size), np.asarray(wanted))
