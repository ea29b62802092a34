"""LayerNorm over packed streams with one affine set each, the residual sum included."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register


def _triton() -> Implementation:
    from cavsync.kernels.triton.layer_norm import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "modality_layer_norm",
    Candidate("triton", _triton, requires=("triton",), devices=("cuda",)),
    Candidate("reference", lambda: Implementation(reference.modality_layer_norm)),
)


def modality_layer_norm(
    x: Tensor,
    branch: Tensor | None,
    weights: Tensor,
    biases: Tensor,
    rows: Sequence[int],
    out_dtype: torch.dtype | None = None,
    eps: float = reference.LAYER_NORM_EPS,
) -> tuple[Tensor, Tensor]:
    """Residual sum and norm in one pass: (x + branch, its LayerNorm with each row's affine set).

    x, branch (tokens, D), branch None adds nothing; weights, biases (sets, D). The first rows[0] tokens take set 0,
    the next rows[1] set 1, and so on. The sum has x's dtype, the normalised rows out_dtype (None: x's); statistics are
    float32. Raises ValueError where the rows are not all of x's.
    """
    if sum(rows) != x.shape[0] or len(rows) != weights.shape[0]:
        raise ValueError(
            f"{len(rows)} streams of {sum(rows)} rows came with {x.shape[0]} tokens, {weights.shape[0]} affine sets: "
            "expected one set per stream and every token in a stream."
        )
    total, normed = OPERATION(x, branch, weights, biases, rows, out_dtype or x.dtype, eps)
    return total, normed
