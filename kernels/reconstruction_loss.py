"""Masked reconstruction loss."""

from __future__ import annotations

from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register


def _triton() -> Implementation:
    from cavsync.kernels.triton.reconstruction_loss import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "masked_reconstruction_loss",
    Candidate("triton", _triton, requires=("triton",), devices=("cuda",)),
    Candidate("reference", lambda: Implementation(reference.masked_reconstruction_loss)),
)


def masked_reconstruction_loss(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool = False
) -> Tensor:
    """Mean squared error of predicted patches over the hidden ones, a float32 scalar; 0 where nothing is hidden.

    prediction (B, N, patch_size² · C) in the layout of `patchify`; images (B, C, H, W), a constant, any strides; hidden
    bool (B, N). norm_pix: compare with the patch normalised by its own mean and variance. Source: arXiv 2111.06377.
    """
    loss: Tensor = OPERATION(prediction, images, hidden, patch_size, norm_pix)
    return loss
