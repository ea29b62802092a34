"""Bias and GELU against their specification, and a model's MLP with them against one without."""

import pytest
import torch
import torch.nn.functional as F
from exactness import assert_exact
from torch import Tensor

from cavsync.kernels import bias_gelu, fuses_bias_gelu, reference, use_backend
from cavsync.kernels.triton.bias_gelu import BACKWARD_STEPS, TILE_ROWS, bias_gelu_backward_op, bias_gelu_op
from cavsync.model.block import Mlp

SHAPES = [(1, 1), (3, 7), (17, 48), (TILE_ROWS * BACKWARD_STEPS + 1, 300), (2, 5, 256)]


def inputs(shape: tuple[int, ...], dtype: torch.dtype, bias_dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    product = 3 * torch.randn(shape, generator=generator)
    return [product.to(dtype), torch.randn(shape[-1], generator=generator).to(bias_dtype)]


@pytest.mark.parametrize(
    ("dtype", "bias_dtype"),
    [
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape: tuple[int, ...], dtype: torch.dtype, bias_dtype: torch.dtype) -> None:
    ours = [item.requires_grad_() for item in inputs(shape, dtype, bias_dtype)]
    exact = [item.detach().double().requires_grad_() for item in ours]
    with use_backend("triton"):
        result = bias_gelu(*ours)
    wanted = reference.bias_gelu(*exact)
    assert result.dtype == dtype
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(5)).to(dtype)
    result.backward(upstream)
    wanted.backward(upstream.double())
    assert_exact(result, wanted, dtype)
    for item, other in zip(ours, exact, strict=True):
        assert item.grad is not None
        assert item.grad.dtype == item.dtype
        # Sums over rows may cancel.
        assert_exact(item.grad, other.grad, dtype, scale=upstream.double().norm().item())


def test_the_specification_is_gelu_of_the_sum() -> None:
    product, bias = inputs((4, 6), torch.float32, torch.float32)
    torch.testing.assert_close(reference.bias_gelu(product, bias), F.gelu(product + bias))


def test_far_values_stay_finite() -> None:
    """Where erf has reached its limits: 0 and the number itself, with slopes 0 and 1."""
    product = torch.tensor([[-1e4, -20.0, 20.0, 1e4]], requires_grad=True)
    with use_backend("triton"):
        result = bias_gelu(product, torch.zeros(4))
    result.sum().backward()
    assert result.tolist() == [[0.0, 0.0, 20.0, 1e4]]
    assert product.grad is not None
    assert product.grad.tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_no_rows() -> None:
    product, bias = torch.zeros(0, 8, requires_grad=True), torch.zeros(8, requires_grad=True)
    with use_backend("triton"):
        bias_gelu(product, bias).sum().backward()
    assert bias.grad is not None
    assert bias.grad.tolist() == [0.0] * 8


def test_the_operator_keeps_its_contract() -> None:
    """Fake results, autograd and schema agree with what is computed."""
    product, bias = inputs((5, 12), torch.float32, torch.float32)
    torch.library.opcheck(bias_gelu_op, (product.requires_grad_(), bias.requires_grad_()))
    torch.library.opcheck(bias_gelu_backward_op, (product.detach(), product.detach(), bias.detach()))


def test_an_mlp_gives_the_same_with_one_pass_or_two() -> None:
    torch.manual_seed(0)
    mlp, x = Mlp(8, 32), torch.randn(3, 5, 8)
    torch.nn.init.normal_(mlp.fc1.bias)
    assert not fuses_bias_gelu(x, mlp.fc1.bias)
    found = []
    for backend in ("reference", "triton"):
        mlp.zero_grad()
        with use_backend(backend):
            assert fuses_bias_gelu(x, mlp.fc1.bias) == (backend == "triton")
            result = mlp(x)
        result.square().sum().backward()
        found.append([result.detach(), *(parameter.grad for parameter in mlp.parameters())])
    for plain, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-5)
