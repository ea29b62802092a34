"""Attention by PyTorch's own kernels: fused where that is faster, variable-length on a GPU."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.segments import Segments

# Measured on a CPU, forward and backward in bf16: at 17 to 26 tokens the fused kernel takes 2.4 to 9 times as long as
# two matrix products and a softmax; its blocks are made for hundreds of tokens.
WRITTEN_OUT_TOKENS = 64


def _written_out_tokens(device: torch.device) -> int:
    """The longest sequence that is computed as two matrix products and a softmax; 0 for none."""
    return WRITTEN_OUT_TOKENS if device.type == "cpu" else 0


def _has_variable_length(qkv: Tensor) -> bool:
    return qkv.device.type == "cuda" and qkv.dtype in (torch.bfloat16, torch.float16)


def _dense(qkv: Tensor) -> Tensor:
    if qkv.shape[1] <= _written_out_tokens(qkv.device):
        return reference.attention(qkv)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(query, key, value).transpose(1, 2)


def _run(qkv: Tensor, segments: Segments | None) -> Tensor:
    if segments is None:
        return _dense(qkv)
    if len(segments.runs) > 1 and _has_variable_length(qkv):
        ends, longest = _cumulative_lengths(segments, qkv.device), segments.max_length
        query, key, value = qkv.unbind(1)
        mixed = varlen_attn(query, key, value, ends, ends, longest, longest)
        assert isinstance(mixed, Tensor)
        return mixed
    return _run_by_run(qkv, segments)


# Never dropped: a recorded CUDA graph keeps reading it.
@cache
def _cumulative_lengths(segments: Segments, device: torch.device) -> Tensor:
    return segments.cu_seqlens(device)


def _run_by_run(qkv: Tensor, segments: Segments) -> Tensor:
    """One dense call for each run of equal lengths."""
    parts = []
    for (count, length), tokens in zip(segments.runs, qkv.split(segments.tokens_per_run), strict=True):
        if count and length:
            parts.append(_dense(tokens.unflatten(0, (count, length))).flatten(0, 1))
    if not parts:
        return qkv[:, 0]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _method(qkv: Tensor, _segments: Segments | None) -> str:
    fused, limit = "scaled_dot_product_attention", _written_out_tokens(qkv.device)
    dense = f"two matrix products and a softmax up to {limit} tokens, {fused} above" if limit else fused
    return f"{dense}; varlen_attn for sequences of several lengths" if _has_variable_length(qkv) else dense


IMPLEMENTATION = Implementation(_run, method=_method)
