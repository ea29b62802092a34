"""Multi-head self-attention over packed sequences, and pooling by attention: one learned query over all tokens."""

import torch.nn.functional as F
from torch import Tensor, nn

from cavsync.kernels import Segments, attention
from cavsync.model.init import linear, token
from cavsync.model.norm import LayerNorm


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


class AttentionPool(nn.Module):
    """Cross-attention of a learned query to the normalised tokens, and a projection.

    The head of attentive probing (Chen et al. 2022, arXiv 2202.03026; Bardes et al. 2024, arXiv 2404.08471), one layer.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = LayerNorm(dim)
        self.query = token(1, 1, dim)
        self.key_value = linear(dim, 2 * dim)
        self.proj = linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, N, D) -> (B, D)."""
        batch, _, dim = tokens.shape
        width = dim // self.num_heads
        keys_values = self.key_value(self.norm(tokens)).unflatten(2, (2, self.num_heads, width))
        keys, values = (part.transpose(1, 2) for part in keys_values.unbind(2))
        query = self.query.expand(batch, -1, -1).unflatten(2, (self.num_heads, width)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query.to(keys.dtype), keys, values)
        pooled: Tensor = self.proj(mixed.transpose(1, 2).flatten(1))
        return pooled
