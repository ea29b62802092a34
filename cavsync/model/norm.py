"""LayerNorm, computed by cavsync.kernels."""

from torch import Tensor, nn

from cavsync.kernels import layer_norm
from cavsync.kernels.reference import LAYER_NORM_EPS


class LayerNorm(nn.LayerNorm):
    """LayerNorm over the last dimension with eps 1e-5, the value of the published checkpoints (not timm's 1e-6)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        return layer_norm(x, self.weight, self.bias, self.eps)
