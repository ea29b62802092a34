"""Bias and GELU after a matrix product."""

from __future__ import annotations

from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register

FUSED = "triton"


def _triton() -> Implementation:
    from cavsync.kernels.triton.bias_gelu import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "bias_gelu",
    Candidate(FUSED, _triton, requires=("triton",), devices=("cuda",)),
    Candidate("reference", lambda: Implementation(reference.bias_gelu)),
)


def bias_gelu(product: Tensor, bias: Tensor) -> Tensor:
    """Exact GELU of product (..., D) + bias (D,), in the product's dtype, computed in float32."""
    result: Tensor = OPERATION(product, bias)
    return result


def fuses_bias_gelu(product: Tensor, bias: Tensor) -> bool:
    """Whether `bias_gelu` of such tensors is one pass.

    Where it is not, a product that adds its bias itself, and GELU alone, move fewer bytes.
    """
    return OPERATION.choose(product, bias).name == FUSED
