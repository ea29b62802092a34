"""The masked reconstruction loss against its specification in float64 and against loops."""

import math

import numpy as np
import pytest
import torch
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.kernels import masked_reconstruction_loss, patchify, reference, use_backend
from cavsync.kernels.triton.reconstruction_loss import reconstruction_loss_backward_op, reconstruction_loss_op

# channels, height, width, patch size
SHAPES = {"audio": (1, 128, 96, 16), "picture": (3, 64, 48, 16), "tubelet": (15, 24, 16, 8), "odd": (2, 9, 6, 3)}


def arguments(
    shape: tuple[int, int, int, int], dtype: torch.dtype, hidden_share: float = 0.7
) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, images with swapped strides and a mean far from 0, and which patches are hidden."""
    channels, height, width, patch = shape
    generator = torch.Generator().manual_seed(height)
    count = (height // patch) * (width // patch)
    images = 2 * torch.randn(2, channels, width, height, generator=generator).transpose(2, 3) + 1
    prediction = torch.randn(2, count, channels * patch * patch, generator=generator).to(dtype)
    return prediction, images, torch.rand(2, count, generator=generator) < hidden_share


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("norm_pix", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_triton(shape: tuple, norm_pix: bool, dtype: torch.dtype) -> None:
    prediction, images, hidden = arguments(shape, dtype)
    ours, exact = prediction.clone().requires_grad_(), prediction.double().requires_grad_()
    with use_backend("triton"):
        loss = masked_reconstruction_loss(ours, images, hidden, shape[3], norm_pix)
    wanted = reference.masked_reconstruction_loss(exact, images.double(), hidden, shape[3], norm_pix)
    (3 * loss).backward()
    (3 * wanted).backward()
    assert loss.dtype == torch.float32
    assert_exact(loss, wanted, torch.float32)
    assert_exact(ours.grad, exact.grad, dtype)
    assert (ours.grad[~hidden] == 0).all()


@pytest.mark.parametrize("backend", ["triton", "reference"])
@pytest.mark.parametrize("hidden_share", [0.0, 1.0])
def test_nothing_or_everything_hidden(hidden_share: float, backend: str) -> None:
    prediction, images, hidden = arguments(SHAPES["odd"], torch.float32, hidden_share)
    prediction.requires_grad_()
    with use_backend(backend):
        loss = masked_reconstruction_loss(prediction, images, hidden, 3)
    loss.backward()
    expected = (prediction - patchify(images, 3)).square().mean() if hidden_share else torch.tensor(0.0)
    torch.testing.assert_close(loss, expected)
    assert bool(prediction.grad.any()) == bool(hidden_share)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 3), columns=st.integers(1, 3), norm_pix=st.booleans())
def test_against_loops(seed: int, rows: int, columns: int, norm_pix: bool) -> None:
    """Mean over hidden patches of the mean over pixels, the target normalised with the unbiased variance."""
    random = np.random.default_rng(seed)
    patch, channels = 2, int(random.integers(1, 4))
    images = random.standard_normal((2, channels, rows * patch, columns * patch)).astype(np.float32)
    prediction = random.standard_normal((2, rows * columns, channels * patch * patch)).astype(np.float32)
    hidden = random.random((2, rows * columns)) < 0.5
    errors = []
    for item, index in zip(*np.nonzero(hidden), strict=True):
        top, left = index // columns * patch, index % columns * patch
        wanted = [
            float(images[item, channel, top + y, left + x])
            for y in range(patch)
            for x in range(patch)
            for channel in range(channels)
        ]
        if norm_pix:
            wanted = (np.array(wanted) - np.mean(wanted)) / math.sqrt(np.var(wanted, ddof=1) + 1e-6)
        errors.append(np.mean((prediction[item, index] - np.array(wanted)) ** 2))
    for backend in ("triton", "reference"):
        with use_backend(backend):
            loss = masked_reconstruction_loss(*map(torch.from_numpy, (prediction, images, hidden)), patch, norm_pix)
        assert loss.item() == pytest.approx(np.mean(errors) if errors else 0.0, rel=1e-4)


def test_hidden_patches_alone_are_read() -> None:
    """A visible patch may hold anything, in the prediction and in the frame."""
    prediction, images, hidden = arguments(SHAPES["picture"], torch.float32)
    with use_backend("triton"):
        first = masked_reconstruction_loss(prediction, images, hidden, 16)
        prediction[~hidden] = torch.nan
        cut = images.unflatten(3, (-1, 16)).unflatten(2, (-1, 16)).permute(0, 2, 4, 1, 3, 5)
        cut[~hidden.view(2, 4, 3)] = torch.nan
        assert torch.equal(masked_reconstruction_loss(prediction, images, hidden, 16), first)


@pytest.mark.parametrize("norm_pix", [False, True])
def test_operators_are_registered_soundly(norm_pix: bool) -> None:
    prediction, images, hidden = arguments(SHAPES["odd"], torch.float32)
    torch.library.opcheck(reconstruction_loss_op, (prediction.requires_grad_(), images, hidden, 3, norm_pix))
    backward = (torch.tensor(2.0), prediction.detach(), images, hidden, 3, norm_pix)
    torch.library.opcheck(reconstruction_loss_backward_op, backward)
