"""LayerNorm, computed by cavsync.kernels: alone, or with the residual sum and one set of parameters per stream."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cavsync.kernels import modality_layer_norm
from cavsync.kernels.reference import LAYER_NORM_EPS


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the last dimension with eps 1e-5, the value of the published checkpoints (not timm's 1e-6)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        return add_norm(rows, None, [self], [rows.shape[0]])[1].view(x.shape)


def add_norm(
    x: Tensor,
    branch: Tensor | None,
    norms: Sequence[LayerNorm],
    rows: Sequence[int],
    out_dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """The sum of x and branch (tokens, D), and its norm: rows[i] tokens by norms[i], in order."""
    if len(norms) == 1:
        weights, biases = norms[0].weight.unsqueeze(0), norms[0].bias.unsqueeze(0)
    else:
        weights, biases = torch.stack([norm.weight for norm in norms]), torch.stack([norm.bias for norm in norms])
    return modality_layer_norm(x, branch, weights, biases, rows, out_dtype, LAYER_NORM_EPS)


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which a matrix product of x is taken: autocast's, or its own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
