"""Pooling by attention: one learned query over all tokens."""

import torch.nn.functional as F
from torch import Tensor, nn

from cavsync.model.init import linear, token
from cavsync.model.norm import LayerNorm


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
