"""The transformer block with one set of norms per stream, over packed sequences."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cavsync.kernels import Segments, bias_gelu, fuses_bias_gelu
from cavsync.model.attention import Attention
from cavsync.model.init import linear
from cavsync.model.norm import LayerNorm, add_norm, product_dtype

Stream = Literal["joint", "audio", "visual"]


class Packing(NamedTuple):
    """Layout of packed tokens (tokens, D): their sequences, and the stream (its norms) of each run of sequences."""

    segments: Segments
    streams: tuple[Stream, ...]

    @classmethod
    def of(cls, tokens: dict[Stream, Tensor]) -> "Packing":
        """Layout of streams (B, N, D) packed one after the other."""
        runs = tuple((part.shape[0], part.shape[1]) for part in tokens.values())
        return cls(Segments(runs), tuple(tokens))


class Mlp(nn.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = linear(dim, hidden_dim)
        self.fc2 = linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., D) -> (..., D)."""
        bias = self.fc1.bias
        hidden = bias_gelu(F.linear(x, self.fc1.weight), bias) if fuses_bias_gelu(x, bias) else F.gelu(self.fc1(x))
        expanded: Tensor = self.fc2(hidden)
        return expanded


class Block(nn.Module):
    """Pre-norm block: attention, then MLP, shared by the streams; each stream has its own norms (CAV-MAE, section 3).

    Every block has all three sets of norms, even where only the joint one is used, because checkpoints hold them.
    recompute: keep only the block's input for the backward pass and run it a second time there, which saves memory.
    """

    recompute = False

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1, self.norm1_a, self.norm1_v = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.attn = Attention(dim, num_heads)
        self.norm2, self.norm2_a, self.norm2_v = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, branch: Tensor | None, packing: Packing) -> tuple[Tensor, Tensor]:
        """One block for all packed streams at once.

        x (tokens, D) is the residual stream, branch the part that is not yet added to it: the next norm adds it in the
        same pass. Returns both after this block.
        """
        rows, dtype = packing.segments.tokens_per_run, product_dtype(x)
        before_attention = {"joint": self.norm1, "audio": self.norm1_a, "visual": self.norm1_v}
        before_mlp = {"joint": self.norm2, "audio": self.norm2_a, "visual": self.norm2_v}
        x, normed = add_norm(x, branch, [before_attention[stream] for stream in packing.streams], rows, dtype)
        attended = self.attn(normed, packing.segments)
        x, normed = add_norm(x, attended, [before_mlp[stream] for stream in packing.streams], rows, dtype)
        return x, self.mlp(normed)


def block_stack(depth: int, dim: int, num_heads: int, mlp_ratio: float) -> nn.ModuleList:
    """`depth` blocks of the same size."""
    return nn.ModuleList(Block(dim, num_heads, mlp_ratio) for _ in range(depth))


def run_packed(blocks: Iterable[nn.Module], tokens: dict[Stream, Tensor]) -> tuple[Tensor, Tensor | None, Packing]:
    """Streams (B, N, D) through the blocks in one pass: residual stream, pending branch, and their layout."""
    packing = Packing.of(tokens)
    parts = [part.flatten(0, 1) for part in tokens.values()]
    x, branch = parts[0] if len(parts) == 1 else torch.cat(parts), None
    for block in blocks:
        if cast(Block, block).recompute and torch.is_grad_enabled():
            x, branch = checkpoint(block, x, branch, packing, use_reentrant=False, preserve_rng_state=False)
        else:
            x, branch = cast(Block, block)(x, branch, packing)
    return x, branch, packing


def run_blocks(blocks: Iterable[nn.Module], tokens: Tensor) -> Tensor:
    """Tokens (B, N, D) of one stream through the blocks with the joint norms, (B, N, D)."""
    x, branch, _ = run_packed(blocks, {"joint": tokens})
    total = x if branch is None else x + branch
    return total.view(tokens.shape)


def unpack(x: Tensor, packing: Packing) -> dict[Stream, Tensor]:
    """Packed tokens (tokens, D) as streams (B, N, D)."""
    parts = x.split(list(packing.segments.tokens_per_run)) if len(packing.streams) > 1 else (x,)
    runs = packing.segments.runs
    return {s: part.unflatten(0, run) for s, part, run in zip(packing.streams, parts, runs, strict=True)}
