"""Heat maps: cosines against a loop, interpolation against PyTorch's, overlays where the heat is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from cavsync.evaluate.localize.heat_map import centre_heat, cosine_heat, random_heat, upsample
from cavsync.evaluate.localize.overlay import outline, overlay
from cavsync.evaluate.results.images import colour_map


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.integers(1, 4))
def test_heat_is_the_cosine(seed: int, num_audio: int) -> None:
    random = np.random.default_rng(seed)
    audio = random.standard_normal((num_audio, 5)).astype(np.float32)
    patches = random.standard_normal((6, 5)).astype(np.float32)
    patches[4] = 0
    heat = cosine_heat(audio, patches, (2, 3))
    pooled = torch.tensor(audio).mean(dim=0)
    expected = F.cosine_similarity(torch.tensor(patches), pooled[None], dim=1)
    assert heat.ravel() == pytest.approx(expected.numpy(), abs=1e-5)
    assert heat[1, 1] == 0


@pytest.mark.parametrize("grid", [(4, 4), (14, 14), (3, 5), (1, 2)])
@pytest.mark.parametrize("size", [(224, 224), (30, 70)])
def test_upsampling_is_pytorch_s(grid: tuple[int, int], size: tuple[int, int]) -> None:
    heat = np.random.default_rng(1).standard_normal(grid).astype(np.float32)
    expected = F.interpolate(torch.tensor(heat)[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    assert upsample(heat, *size) == pytest.approx(expected.numpy(), abs=1e-4)


def test_baselines() -> None:
    centre = centre_heat((6, 6))
    assert centre.max() == centre[2, 2] == pytest.approx(centre[3, 3])
    assert centre[0, 0] == centre.min() < 0.2 * centre.max()
    first, same = (random_heat(np.random.default_rng(3), (4, 4)) for _ in range(2))
    assert (first == same).all()
    assert np.unique(first).size == 16


def test_overlay_covers_what_is_hot() -> None:
    picture = np.full((32, 32, 3), 100, dtype=np.uint8)
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[0, 3] = 1
    warm = overlay(picture, heat, 0.0, 1.0)
    assert (warm[20:, :20] == 100).all()
    hottest = 0.3 * 100 + 0.7 * colour_map(np.ones(1, dtype=np.float32))[0]
    assert np.abs(warm[0, -1] - hottest).max() <= 1
    assert (overlay(picture, np.zeros((4, 4), dtype=np.float32), 0.5, 0.5) == picture).all()


def test_outline_follows_the_mask() -> None:
    picture = np.full((10, 10, 3), 50, dtype=np.uint8)
    mask = np.zeros((10, 10), dtype=bool)
    mask[3:7, 3:7] = True
    drawn = outline(picture, mask)
    assert (drawn[3, 3:7] == 255).all()
    assert (drawn[2, 3:7] == 0).all()
    assert (drawn[4:6, 4:6] == 50).all()
    assert (drawn[0] == 50).all()
    assert (outline(picture, np.zeros_like(mask)) == picture).all()
