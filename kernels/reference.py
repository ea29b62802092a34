"""Tensor operations of the model in plain PyTorch: the written specification of every fast path.

All functions are pure, differentiable, and free of data-dependent Python branches. Statistics and losses
are taken in float32 also under bf16 autocast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LAYER_NORM_EPS = 1e-5
PIXEL_NORM_EPS = 1e-6


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention, scaled by the square root of the head width.

    Inputs and output are (B, heads, N, head_dim). Source: Vaswani et al. 2017, arXiv 1706.03762.
    """
    weights = torch.softmax(query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1), dim=-1)
    return weights.to(value.dtype) @ value


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = LAYER_NORM_EPS) -> Tensor:
    """Normalise the last dimension of x (..., D), then scale and shift. Source: Ba et al. 2016, arXiv 1607.06450."""
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images (B, C, H, W) into flattened patches (B, N, patch_size² · C), channel fastest, row-major grid."""
    batch, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    cut = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, rows * columns, patch_size * patch_size * channels)


def unpatchify(patches: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Inverse of `patchify`: patches (B, rows · columns, patch_size² · C) -> images (B, C, H, W)."""
    rows, columns = grid
    batch, channels = patches.shape[0], patches.shape[2] // (patch_size * patch_size)
    cut = patches.reshape(batch, rows, columns, patch_size, patch_size, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, rows * patch_size, columns * patch_size)


def masked_reconstruction_loss(prediction: Tensor, target: Tensor, mask: Tensor, norm_pix: bool = False) -> Tensor:
    """Mean squared error over the masked patches, a scalar; 0 where nothing is masked.

    prediction, target: (B, N, P). mask: (B, N), True or 1 where the patch was hidden from the encoder.
    norm_pix: compare with the target normalised per patch (unbiased variance, eps 1e-6).
    Source: He et al. 2022, arXiv 2111.06377.
    """
    prediction, target, mask = prediction.float(), target.float(), mask.float()
    if norm_pix:
        variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
        target = (target - mean) * torch.rsqrt(variance + PIXEL_NORM_EPS)
    error = (prediction - target).square().mean(dim=-1)
    return (error * mask).sum() / mask.sum().clamp(min=1.0)


def info_nce(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor | float,
    first_positive: int = 0,
    ignore: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """InfoNCE in one direction: every query against all keys, its positive at its own index.

    queries (N, D) and keys (M, D) need not be normalised; the positive of query i is key `first_positive + i`.
    ignore: bool (N, M), True for pairs that are no negatives; positives are never ignored.
    Returns the mean loss and the share of queries whose positive scores highest, both scalars.
    Source: van den Oord et al. 2018, arXiv 1807.03748.
    """
    with torch.autocast(queries.device.type, enabled=False):
        similarity = F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).T
    logits = similarity / temperature
    positives = torch.arange(first_positive, first_positive + len(queries), device=queries.device)
    if ignore is not None:
        own = torch.zeros_like(ignore).scatter(1, positives[:, None], True)
        logits = logits.masked_fill(ignore & ~own, -torch.inf)
    accuracy = (logits.argmax(dim=1) == positives).float().mean()
    return F.cross_entropy(logits, positives), accuracy
