"""The transformer block with one set of norms per stream."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from cavsync.model.attention import Attention
from cavsync.model.init import linear
from cavsync.model.norm import LayerNorm

Stream = Literal["joint", "audio", "visual"]


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = linear(dim, hidden_dim)
        self.fc2 = linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, N, D) -> (B, N, D)."""
        expanded: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return expanded


class Block(nn.Module):
    """Pre-norm block: attention, then MLP, shared by the streams; each stream has its own norms (CAV-MAE, section 3).

    Every block carries all three sets of norms, also where only the joint one is used: checkpoints hold them.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm1_a, self.norm1_v = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.attn = Attention(dim, num_heads)
        self.norm2, self.norm2_a, self.norm2_v = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, stream: Stream = "joint") -> Tensor:
        """x (B, N, D) -> (B, N, D) with the norms of `stream`."""
        norm1, norm2 = {
            "joint": (self.norm1, self.norm2),
            "audio": (self.norm1_a, self.norm2_a),
            "visual": (self.norm1_v, self.norm2_v),
        }[stream]
        attended: Tensor = x + self.attn(norm1(x))
        result: Tensor = attended + self.mlp(norm2(attended))
        return result


def block_stack(depth: int, dim: int, num_heads: int, mlp_ratio: float) -> nn.ModuleList:
    """`depth` blocks of the same size."""
    return nn.ModuleList(Block(dim, num_heads, mlp_ratio) for _ in range(depth))
