"""The packed LayerNorm against its specification, and that against PyTorch stream by stream."""

import pytest
import torch
import torch.nn.functional as F
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.kernels import modality_layer_norm, reference, use_backend
from cavsync.kernels.triton.layer_norm import layer_norm_backward_op, layer_norm_op

STREAMS = ([1], [7, 1, 49], [61, 0, 217], [0, 101, 58], [404, 513])


def inputs(rows: list[int], width: int, dtype: torch.dtype, branch_dtype: torch.dtype | None) -> list[Tensor | None]:
    """x, branch, weights and biases; x is far from zero mean."""
    generator = torch.Generator().manual_seed(width + sum(rows))
    x = 3 * torch.randn(sum(rows), width, generator=generator) + 1
    branch = None if branch_dtype is None else torch.randn(x.shape, generator=generator).to(branch_dtype)
    affine = torch.randn(2, len(rows), width, generator=generator)
    return [x.to(dtype), branch, affine[0], affine[1]]


def check(given_inputs: list[Tensor | None], rows: list[int], out_dtype: torch.dtype) -> None:
    """Both results and all gradients of the Triton kernels against the specification in float64."""
    ours = [None if item is None else item.detach().requires_grad_() for item in given_inputs]
    exact = [None if item is None else item.detach().double().requires_grad_() for item in given_inputs]
    with use_backend("triton"):
        total, normed = modality_layer_norm(*ours, rows, out_dtype)
    wanted_total, wanted = reference.modality_layer_norm(*exact, rows, torch.float64)
    generator = torch.Generator().manual_seed(5)
    upstream = [torch.randn(total.shape, generator=generator).to(item.dtype) for item in (total, normed)]
    torch.autograd.backward([total, normed], upstream)
    torch.autograd.backward([wanted_total, wanted], [item.double() for item in upstream])
    assert total.dtype == ours[0].dtype
    assert normed.dtype == out_dtype
    worst = max((total.dtype, out_dtype), key=lambda dtype: torch.finfo(dtype).eps)
    assert_exact(total, wanted_total, total.dtype)
    assert_exact(normed, wanted, worst)
    for item, other in zip(ours, exact, strict=True):
        if item is not None:
            assert item.grad.dtype == item.dtype
            assert_exact(item.grad, other.grad, max((worst, item.dtype), key=lambda dtype: torch.finfo(dtype).eps))


def test_the_specification_is_one_layer_norm_per_stream() -> None:
    x, branch, weights, biases = inputs([3, 4], 10, torch.float32, torch.float32)
    total, normed = modality_layer_norm(x, branch, weights, biases, [3, 4])
    torch.testing.assert_close(total, x + branch)
    for index, part in enumerate((slice(0, 3), slice(3, 7))):
        expected = F.layer_norm((x + branch)[part], (10,), weights[index], biases[index], 1e-5)
        torch.testing.assert_close(normed[part], expected)


@pytest.mark.parametrize("rows", STREAMS, ids=str)
@pytest.mark.parametrize("width", [48, 96, 768])
@pytest.mark.parametrize("branch", [True, False])
def test_values_and_gradients(rows: list[int], width: int, branch: bool) -> None:
    check(inputs(rows, width, torch.float32, torch.float32 if branch else None), rows, torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("stream", [True, False])
def test_mixed_precision(dtype: torch.dtype, stream: bool) -> None:
    """A float32 residual stream with half-precision branches and results, or everything in half precision."""
    x_dtype = torch.float32 if stream else dtype
    for branch in (dtype, None):
        check(inputs([7, 1, 49], 96, x_dtype, branch), [7, 1, 49], dtype)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 90), min_size=1, max_size=4), width=st.integers(1, 70), branch=st.booleans())
def test_drawn_streams(rows: list[int], width: int, branch: bool) -> None:
    rows = [*rows, 1]
    x, other, weights, biases = inputs(rows, width, torch.float64, torch.float64 if branch else None)
    total, normed = reference.modality_layer_norm(x, other, weights.double(), biases.double(), rows, torch.float64)
    with use_backend("triton"):
        half = None if other is None else other.float()
        ours_total, ours = modality_layer_norm(x.float(), half, weights, biases, rows)
    torch.testing.assert_close(ours_total.double(), total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.double(), normed, rtol=1e-4, atol=1e-4 if width > 2 else 2e-2)


def test_non_contiguous_inputs() -> None:
    x, branch, weights, biases = inputs([30, 19], 64, torch.float32, torch.float32)
    wide = torch.zeros(49, 3, 64)
    wide[:, 1] = x
    check([wide[:, 1], branch.T.contiguous().T, weights.T.contiguous().T, biases], [30, 19], torch.float32)


def test_only_one_result_used() -> None:
    """The norm alone, or the sum alone, gets the gradient that it should."""
    for chosen in (0, 1):
        x, branch, weights, biases = inputs([5, 6], 32, torch.float32, torch.float32)
        grads = []
        for backend in ("triton", "reference"):
            leaf = x.clone().requires_grad_()
            with use_backend(backend):
                modality_layer_norm(leaf, branch, weights, biases, [5, 6])[chosen].square().sum().backward()
            grads.append(leaf.grad)
        torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)


def test_streams_must_cover_the_tokens() -> None:
    x, _, weights, biases = inputs([3, 4], 8, torch.float32, None)
    with pytest.raises(ValueError, match="every token in a stream"):
        modality_layer_norm(x, None, weights, biases, [3, 3])


@pytest.mark.parametrize("branch_dtype", [None, torch.float32, torch.bfloat16], ids=str)
def test_operators_are_registered_soundly(branch_dtype: torch.dtype | None) -> None:
    rows = [5, 0, 9]
    x, branch, weights, biases = inputs(rows, 24, torch.float32, branch_dtype)
    arguments = [None if item is None else item.requires_grad_() for item in (x, branch, weights, biases)]
    torch.library.opcheck(layer_norm_op, (*arguments, rows, torch.float32, 1e-5))
    with torch.no_grad():
        _, normed, mean, rstd = layer_norm_op(*arguments, rows, torch.float32, 1e-5)
        backward = (torch.randn_like(normed), None, x.detach(), weights.detach(), mean, rstd, rows, branch_dtype)
        torch.library.opcheck(layer_norm_backward_op, backward)
