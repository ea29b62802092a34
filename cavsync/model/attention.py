"""Multi-head self-attention over packed sequences."""

from torch import Tensor, nn

from cavsync.kernels import Segments, attention
from cavsync.model.init import linear


class Attention(nn.Module):
    """Self-attention with one projection for query, key and value (ViT, arXiv 2010.11929)."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = linear(dim, 3 * dim)
        self.proj = linear(dim, dim)

    def forward(self, x: Tensor, segments: Segments) -> Tensor:
        """x (tokens, D), sequences packed one after the other -> (tokens, D); each attends only to itself."""
        qkv = self.qkv(x).unflatten(1, (3, self.num_heads, x.shape[1] // self.num_heads))
        if len(segments.runs) == 1:
            mixed = attention(qkv.unflatten(0, segments.runs[0])).flatten(0, 1)
        else:
            mixed = attention(qkv, segments)
        projected: Tensor = self.proj(mixed.flatten(1))
        return projected
