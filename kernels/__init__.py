"""Tensor operations that the model calls: no modules, no parameters, no configuration.

`reference` is the specification in plain PyTorch. The other folders, named like their backends, compute the same
numbers faster; `dispatch` chooses between them. Public: the names below; backends and their operators are not public.
"""

from cavsync.kernels.attention import attention
from cavsync.kernels.bias_gelu import bias_gelu, fuses_bias_gelu
from cavsync.kernels.dispatch import OPERATIONS, read_environment, use_backend
from cavsync.kernels.info_nce import info_nce, symmetric_info_nce
from cavsync.kernels.layer_norm import modality_layer_norm
from cavsync.kernels.patch_embedding import kept_patch_embedding
from cavsync.kernels.reconstruction_loss import masked_reconstruction_loss
from cavsync.kernels.reference import patchify, unpatchify
from cavsync.kernels.segments import Segments

__all__ = [
    "OPERATIONS",
    "Segments",
    "attention",
    "bias_gelu",
    "fuses_bias_gelu",
    "info_nce",
    "kept_patch_embedding",
    "masked_reconstruction_loss",
    "modality_layer_norm",
    "patchify",
    "symmetric_info_nce",
    "unpatchify",
    "use_backend",
]

read_environment()
