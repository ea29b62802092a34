"""Embedding of the patches that masking keeps."""

from __future__ import annotations

import torch
from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register


def _torch() -> Implementation:
    from cavsync.kernels.torch.patch_embedding import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "kept_patch_embedding",
    Candidate("torch", _torch),
    Candidate("reference", lambda: Implementation(reference.kept_patch_embedding)),
)


def kept_patch_embedding(
    images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor
) -> Tensor:
    """Embed only the patches `ids_keep`, and add position and modality.

    images (B, C, H, W), a constant, any strides; ids_keep (B, K) int64, row-major patch indices; weight (D, C, p, p);
    bias (D,); position (N, D); modality (D,). Returns (B, K, D) in position's dtype. Under autocast the product is
    taken in autocast's dtype.
    """
    if torch.is_autocast_enabled(images.device.type):
        weight = weight.to(torch.get_autocast_dtype(images.device.type))
    vectors: Tensor = OPERATION(images, ids_keep, weight, bias, position, modality)
    return vectors
