"""Helpers of all Triton kernels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

INTERPRETED: tl.constexpr = tl.constexpr(knobs.runtime.interpret)
"""Whether kernels of this process run on the CPU, statement by statement (TRITON_INTERPRET=1 at import)."""

LOG2_E: tl.constexpr = tl.constexpr(1.4426950408889634)
SUPPORTED_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MIN_CAPABILITY = (8, 0)
INTERPRETED_CAPABILITY = (9, 0)


@triton.jit
def dot(a, b):
    """Matrix product with float32 sums. float32 operands go through three tf32 products, near float32's accuracy."""
    # The interpreter multiplies bfloat16 bit patterns as integers, so convert; on a GPU keep tensor cores.
    if INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, input_precision="tf32x3")


def device_reasons(*tensors: Tensor | None) -> list[str]:
    """Reasons why Triton kernels cannot take these tensors' device and dtypes."""
    reasons = []
    given = [tensor for tensor in tensors if tensor is not None]
    kinds = {tensor.device.type for tensor in given}
    if kinds == {"cpu"}:
        if not INTERPRETED.value:
            reasons.append("the tensors are on the CPU (TRITON_INTERPRET=1 runs kernels there, slowly)")
    elif kinds != {"cuda"}:
        reasons.append(f"the tensors are on {', '.join(sorted(kinds))}, not on one GPU")
    else:
        reasons += _gpu_reasons(given)
    reasons += [
        f"dtype {str(tensor.dtype).removeprefix('torch.')} is none of float32, bfloat16, float16"
        for tensor in given
        if tensor.dtype.is_floating_point and tensor.dtype not in SUPPORTED_DTYPES
    ]
    return list(dict.fromkeys(reasons))


def _gpu_reasons(given: list[Tensor]) -> list[str]:
    index = given[0].device.index
    if any(tensor.device.index != index for tensor in given):
        return ["the tensors are on different GPUs"]
    if index != torch.cuda.current_device():
        return [f"the tensors are on GPU {index}, which is not the current one (torch.cuda.set_device)"]
    if capability_of(index) < MIN_CAPABILITY:
        return ["the GPU is older than compute capability 8.0"]
    return []


@torch.compiler.assume_constant_result
def capability_of(gpu: int | None) -> tuple[int, int]:
    """Compute capability of a GPU by its index; interpreted kernels (None) run as 9.0."""
    return INTERPRETED_CAPABILITY if gpu is None else torch.cuda.get_device_capability(gpu)


def next_power_of_2(size: int) -> int:
    """The smallest power of two that is at least `size`."""
    return 1 << max(0, size - 1).bit_length()
