"""Embedding only what masking keeps equals embedding everything, then masking."""

import pytest
import torch
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.kernels import kept_patch_embedding, patchify, reference, use_backend

# channels, height, width, patch size, output width, kept patches
SHAPES = {
    "audio": (1, 128, 96, 16, 96, 12),
    "one_kept": (3, 64, 48, 16, 48, 1),
    "picture": (3, 224, 224, 16, 768, 49),
    "tubelet": (15, 32, 32, 8, 40, 7),
    "all_kept": (2, 16, 8, 4, 33, 8),
}


def arguments(
    channels: int, height: int, width: int, patch: int, dim: int, kept: int, dtype: torch.dtype, batch: int = 2
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Images with swapped strides (as a spectrogram has), kept indices, and weight, bias, position, modality."""
    generator = torch.Generator().manual_seed(kept)
    count = (height // patch) * (width // patch)
    images = torch.randn(batch, channels, width, height, generator=generator).transpose(2, 3)
    ids_keep = torch.stack([torch.randperm(count, generator=generator)[:kept] for _ in range(batch)])
    weight = (0.05 * torch.randn(dim, channels, patch, patch, generator=generator)).to(dtype)
    rest = [torch.randn(*shape, generator=generator) for shape in ((dim,), (count, dim), (dim,))]
    return images, ids_keep, [weight, *rest]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_values_and_gradients(shape: tuple, dtype: torch.dtype) -> None:
    images, ids_keep, parameters = arguments(*shape, dtype)
    ours = [item.clone().requires_grad_() for item in parameters]
    exact = [item.double().requires_grad_() for item in parameters]
    with use_backend("torch"):
        vectors = kept_patch_embedding(images, ids_keep, *ours)
    wanted = reference.kept_patch_embedding(images.double(), ids_keep, *exact)
    upstream = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    vectors.backward(upstream)
    wanted.backward(upstream.double())
    assert vectors.dtype == torch.float32
    assert_exact(vectors, wanted, dtype)
    for item, other in zip(ours, exact, strict=True):
        assert_exact(item.grad, other.grad, dtype)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), channels=st.integers(1, 4), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_drawn_grids(data: st.DataObject, channels: int, rows: int, columns: int) -> None:
    """Against patches cut by `patchify` and multiplied one by one."""
    patch, dim, batch = data.draw(st.sampled_from([1, 2, 3, 4])), data.draw(st.integers(1, 20)), 2
    kept = data.draw(st.integers(1, rows * columns))
    shape = (channels, rows * patch, columns * patch, patch, dim, kept)
    images, ids_keep, (weight, bias, position, modality) = arguments(*shape, torch.float32)
    patches = patchify(images, patch)
    flat = weight.permute(2, 3, 1, 0).flatten(0, 2)  # the order of `patchify`: channel fastest
    for backend in ("torch", "reference"):
        with use_backend(backend):
            vectors = kept_patch_embedding(images, ids_keep, weight, bias, position, modality)
        for item in range(batch):
            for place, index in enumerate(ids_keep[item]):
                expected = patches[item, index] @ flat + bias + position[index] + modality
                torch.testing.assert_close(vectors[item, place], expected, rtol=1e-4, atol=1e-4)


def test_product_follows_autocast() -> None:
    images, ids_keep, parameters = arguments(*SHAPES["audio"], torch.float32)
    for backend in ("torch", "reference"):
        with use_backend(backend), torch.autocast("cpu", torch.bfloat16):
            mixed = kept_patch_embedding(images, ids_keep, *parameters)
        assert mixed.dtype == torch.float32
        exact = reference.kept_patch_embedding(images.double(), ids_keep, *(item.double() for item in parameters))
        assert_exact(mixed, exact, torch.bfloat16)


@pytest.mark.parametrize("backend", ["torch", "reference"])
def test_images_take_no_gradient(backend: str) -> None:
    images, ids_keep, parameters = arguments(*SHAPES["audio"], torch.float32)
    images.requires_grad_()
    with use_backend(backend):
        assert not kept_patch_embedding(images, ids_keep, *parameters).requires_grad
