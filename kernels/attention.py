"""Self-attention, dense and packed."""

from __future__ import annotations

from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register
from cavsync.kernels.segments import Segments


def _triton() -> Implementation:
    from cavsync.kernels.triton.attention import IMPLEMENTATION

    return IMPLEMENTATION


def _xformers() -> Implementation:
    from cavsync.kernels.xformers.attention import IMPLEMENTATION

    return IMPLEMENTATION


def _torch() -> Implementation:
    from cavsync.kernels.torch.attention import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "attention",
    Candidate("triton", _triton, requires=("triton",), devices=("cuda",)),
    Candidate("torch", _torch),
    Candidate("xformers", _xformers, requires=("xformers",), devices=("cuda",)),
    Candidate("reference", lambda: Implementation(reference.attention)),
)


def attention(qkv: Tensor, segments: Segments | None = None) -> Tensor:
    """Softmax self-attention, scaled by the square root of the head width; sequences attend to themselves only.

    Dense: qkv (B, N, 3, heads, head_dim) -> (B, N, heads, head_dim).
    Packed: qkv (tokens, 3, heads, head_dim) and `segments` -> (tokens, heads, head_dim).
    Raises ValueError where the segments hold another number of tokens. Source: Vaswani et al. 2017, arXiv 1706.03762.
    """
    if segments is not None and segments.num_tokens != qkv.shape[0]:
        raise ValueError(f"The segments hold {segments.num_tokens} tokens, but qkv has {qkv.shape[0]}: match them.")
    mixed: Tensor = OPERATION(qkv, segments)
    return mixed
