"""Parts of the specification that have no fast path, against loops."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.kernels import patchify, unpatchify


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), channels=st.integers(1, 6), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_patchify_orders_row_column_channel(seed: int, channels: int, rows: int, columns: int) -> None:
    size = 2
    shape = (2, channels, rows * size, columns * size)
    images = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    patches = patchify(torch.from_numpy(images), size)
    for r in range(rows):
        for c in range(columns):
            expected = [
                images[1, k, r * size + p, c * size + q]
                for p in range(size)
                for q in range(size)
                for k in range(channels)
            ]
            np.testing.assert_array_equal(patches[1, r * columns + c].numpy(), expected)
    np.testing.assert_array_equal(unpatchify(patches, (rows, columns), size).numpy(), images)
