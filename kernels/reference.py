"""Operations of the model in plain PyTorch: the written specification of every fast path.

All functions are pure and differentiable. Statistics and losses are taken in float32 also under bf16 autocast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cavsync.kernels.segments import Segments

LAYER_NORM_EPS = 1e-5
PIXEL_NORM_EPS = 1e-6
UNIT_EPS = 1e-12


def attention(qkv: Tensor, segments: Segments | None = None) -> Tensor:
    """Softmax attention within each sequence, scaled by the square root of the head width.

    qkv (B, N, 3, heads, head_dim) -> (B, N, heads, head_dim), or packed (tokens, 3, heads, head_dim) with segments.
    Source: Vaswani et al. 2017, arXiv 1706.03762.
    """
    if segments is not None:
        parts = [attention(part.unsqueeze(0)).squeeze(0) for part in qkv.split(segments.lengths)]
        return torch.cat(parts) if parts else qkv[:, 0]
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    weights = torch.softmax(query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1), dim=-1)
    return (weights.to(value.dtype) @ value).transpose(1, 2)


def modality_layer_norm(
    x: Tensor,
    branch: Tensor | None,
    weights: Tensor,
    biases: Tensor,
    rows: Sequence[int],
    out_dtype: torch.dtype,
    eps: float = LAYER_NORM_EPS,
) -> tuple[Tensor, Tensor]:
    """Add `branch` to x, then normalise each row with the affine set of its stream.

    x, branch (tokens, D), branch None adds nothing; weights, biases (sets, D). The first rows[0] tokens take set 0, the
    next rows[1] set 1, and so on. Returns the sum in x's dtype and the normalised rows in out_dtype.
    Source: Ba et al. 2016, arXiv 1607.06450; one set per stream: CAV-MAE, arXiv 2210.07839.
    """
    total = x if branch is None else x + branch
    streams = total.split(list(rows)) if len(rows) > 1 else (total,)
    wide = torch.promote_types(total.dtype, torch.float32)
    parts = [
        F.layer_norm(part.to(wide), (x.shape[-1],), weight.to(wide), bias.to(wide), eps)
        for part, weight, bias in zip(streams, weights, biases, strict=True)
    ]
    normed = parts[0] if len(parts) == 1 else torch.cat(parts)
    return total, normed.to(out_dtype)


def bias_gelu(product: Tensor, bias: Tensor) -> Tensor:
    """GELU, by the normal distribution itself and no approximation, of product (..., D) + bias (D,).

    In the product's dtype, computed in float32. Source: Hendrycks and Gimpel 2016, arXiv 1606.08415.
    """
    wide = torch.promote_types(product.dtype, torch.float32)
    return F.gelu(product.to(wide) + bias.to(wide)).to(product.dtype)


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


def kept_patch_embedding(
    images: Tensor, ids_keep: Tensor, weight: Tensor, bias: Tensor, position: Tensor, modality: Tensor
) -> Tensor:
    """Embed every patch, add position and modality, then keep the named ones.

    images (B, C, H, W), a constant; ids_keep (B, K) int64; weight (D, C, p, p) and bias (D,) of the convolution;
    position (N, D); modality (D,). Returns (B, K, D) in position's dtype; the product is taken in weight's.
    """
    embedded = F.conv2d(images.detach().to(weight.dtype), weight, bias.to(weight.dtype), stride=weight.shape[-1])
    patches = embedded.flatten(2).transpose(1, 2) + position + modality
    return patches.gather(1, ids_keep.unsqueeze(-1).expand(-1, -1, patches.shape[2]))


def masked_reconstruction_loss(
    prediction: Tensor, images: Tensor, hidden: Tensor, patch_size: int, norm_pix: bool = False
) -> Tensor:
    """Mean squared error over the hidden patches, a scalar; 0 where nothing is hidden.

    prediction (B, N, patch_size² · C) in the layout of `patchify`; images (B, C, H, W), a constant; hidden bool (B, N).
    norm_pix: compare with the patch normalised by its own mean and variance (unbiased, eps 1e-6).
    Source: He et al. 2022, arXiv 2111.06377.
    """
    wide = torch.promote_types(prediction.dtype, torch.float32)
    prediction, target = prediction.to(wide), patchify(images.detach(), patch_size).to(wide)
    if norm_pix:
        variance, mean = torch.var_mean(target, dim=-1, keepdim=True)
        target = (target - mean) * torch.rsqrt(variance + PIXEL_NORM_EPS)
    error = (prediction - target).square().mean(dim=-1)
    mask = hidden.to(wide)
    return (error * mask).sum() / mask.sum().clamp(min=1.0)


def info_nce(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor,
    first_positive: int = 0,
    ignore: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """InfoNCE in one direction: every query against all keys, its positive at its own index.

    The cosines of queries (N, D) and keys (M, D), divided by the temperature, a scalar. The positive of query i is key
    `first_positive + i`. ignore: bool (N, N), pairs of a query and an own key `first_positive + j` that are not
    negatives; positives are never ignored. Returns the mean loss and the share of queries whose positive scores
    highest, both scalars. Source: van den Oord et al. 2018, arXiv 1807.03748.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    queries, keys = (F.normalize(item.to(wide), dim=-1, eps=UNIT_EPS) for item in (queries, keys))
    logits = queries @ keys.T / temperature
    count = len(queries)
    if ignore is not None:
        others = ignore & ~torch.eye(count, dtype=torch.bool, device=ignore.device)
        own = logits[:, first_positive : first_positive + count].masked_fill(others, -torch.inf)
        logits = torch.cat([logits[:, :first_positive], own, logits[:, first_positive + count :]], dim=1)
    positives = torch.arange(first_positive, first_positive + count, device=queries.device)
    accuracy = (logits.argmax(dim=1) == positives).float().mean()
    return F.cross_entropy(logits, positives), accuracy
