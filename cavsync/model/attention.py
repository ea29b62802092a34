"""Multi-head self-attention."""

from torch import Tensor, nn

from cavsync.kernels import attention
from cavsync.model.init import linear


class Attention(nn.Module):
    """Self-attention with one projection for query, key and value (ViT, arXiv 2010.11929)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = linear(dim, 3 * dim)
        self.proj = linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, D) -> (B, N, D)."""
        batch, length, dim = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attention(query, key, value).transpose(1, 2).reshape(batch, length, dim)
        projected: Tensor = self.proj(mixed)
        return projected
