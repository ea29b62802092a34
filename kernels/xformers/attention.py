"""Memory-efficient attention of xformers with a block-diagonal mask over packed sequences."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor
from xformers.ops import fmha

from cavsync.kernels.dispatch import Implementation
from cavsync.kernels.segments import Segments


def _not_supported_reasons(qkv: Tensor, segments: Segments | None) -> list[str]:
    """xformers' own reasons, for each of its forward kernels."""
    reasons = []
    if qkv.device.type != "cuda":
        reasons.append(f"the tensors are on the {qkv.device.type.upper()}, xformers needs a GPU")
    if qkv.dtype not in (torch.float16, torch.bfloat16):
        reasons.append(f"dtype {str(qkv.dtype).removeprefix('torch.')} is neither float16 nor bfloat16")
    if segments is not None and 0 in segments.lengths:
        reasons.append("a sequence is empty")
    reasons = reasons or _verdicts(qkv, segments)
    return [*build_reasons(torch.__version__), *reasons] if reasons else []


@cache
def build_reasons(torch_version: str) -> list[str]:
    """A reason where the installed wheel was built for another PyTorch: its compiled kernels then do not load."""
    built = files("xformers").joinpath("cpp_lib.json")
    if not built.is_file():
        return ["xformers was installed without its compiled kernels"]
    built_for = json.loads(built.read_text("utf-8"))["version"]["torch"]
    if built_for == torch_version:
        return []
    return [f"xformers was built for PyTorch {built_for}, but {torch_version} is installed"]


def _verdicts(qkv: Tensor, segments: Segments | None) -> list[str]:
    inputs = _inputs(qkv.detach(), segments)
    verdicts = [(op.NAME, op.not_supported_reasons(inputs)) for op in fmha.ALL_FW_OPS]
    if any(not against for _, against in verdicts):
        return []
    return [f"{name}: {reason}" for name, against in verdicts for reason in against]


def _inputs(qkv: Tensor, segments: Segments | None) -> fmha.Inputs:
    query, key, value = (qkv if segments is None else qkv.unsqueeze(0)).unbind(2)
    return fmha.Inputs(query=query, key=key, value=value, attn_bias=_mask(segments))


def _mask(segments: Segments | None) -> fmha.BlockDiagonalMask | None:
    return None if segments is None else fmha.BlockDiagonalMask.from_seqlens(segments.lengths)


def _run(qkv: Tensor, segments: Segments | None) -> Tensor:
    query, key, value = (qkv if segments is None else qkv.unsqueeze(0)).unbind(2)
    mixed: Tensor = fmha.memory_efficient_attention(query, key, value, attn_bias=_mask(segments))
    return mixed if segments is None else mixed.squeeze(0)


IMPLEMENTATION = Implementation(_run, _not_supported_reasons)
