"""Tensor operations that the model calls, and nothing else: no modules, no parameters, no configuration."""

from cavsync.kernels.attention import attention
from cavsync.kernels.reference import (
    info_nce,
    layer_norm,
    masked_reconstruction_loss,
    patchify,
    unpatchify,
)

__all__ = ["attention", "info_nce", "layer_norm", "masked_reconstruction_loss", "patchify", "unpatchify"]
