"""Tensor operations that the model calls, and nothing else: no modules, no parameters, no configuration."""

from cavsync.kernels.reference import (
    attention,
    info_nce,
    layer_norm,
    masked_reconstruction_loss,
    patchify,
    unpatchify,
)

__all__ = ["attention", "info_nce", "layer_norm", "masked_reconstruction_loss", "patchify", "unpatchify"]
