"""The allowed error of a fast path against the reference evaluated in float64, by dtype."""

import torch
from torch import Tensor

MAX_RELATIVE_ERROR = {torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
"""Norm of the difference divided by the norm of the exact value: a few rounding errors of each dtype."""


def relative_error(ours: Tensor, exact: Tensor) -> float:
    """||ours - exact|| / ||exact||, both in float64."""
    difference = ours.detach().double() - exact.detach().double()
    return (difference.norm() / exact.detach().double().norm().clamp(min=1e-30)).item()


def assert_exact(ours: Tensor, exact: Tensor, dtype: torch.dtype, scale: float = 0.0) -> None:
    """Assert that a result is finite and within the error allowed for the dtype in which it was computed.

    scale: norm below which a difference counts as rounding, for values that cancel to nearly zero.
    """
    assert ours.shape == exact.shape
    assert ours.isfinite().all()
    allowed = MAX_RELATIVE_ERROR[dtype]
    difference = (ours.detach().double() - exact.detach().double()).norm().item()
    assert difference <= allowed * (exact.detach().double().norm().item() + scale), relative_error(ours, exact)
