"""Masks: the patches that the encoder sees.

A mask is a rank per patch (`ids_restore`): the lowest ranks stay visible. The number of visible patches depends
only on grid, ratio and mode, so it is the same for every item of a batch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cavsync.errors import ConfigError
from cavsync.model.config import MaskMode, ModelConfig, PatchGrid

BatchPlace = tuple[int, int]
"""Position of a batch in the batch of all processes: (index of its first item, total number of items)."""


class Masking(NamedTuple):
    """One batch's mask: `ids_restore` (B, N) int64, rank of each patch; ranks below `num_visible` are seen."""

    ids_restore: Tensor
    num_visible: int

    @property
    def hidden(self) -> Tensor:
        """Bool (B, N), True where the patch is hidden from the encoder."""
        return self.ids_restore >= self.num_visible

    @property
    def ids_keep(self) -> Tensor:
        """Indices (B, num_visible) of the visible patches, in order of rank."""
        return self.ids_restore.argsort(dim=1)[:, : self.num_visible]

    def visible(self, patches: Tensor) -> Tensor:
        """The visible ones of patches (B, N, D), in order of rank, (B, num_visible, D)."""
        return _take(patches, self.ids_keep)

    def restore(self, visible: Tensor, mask_token: Tensor) -> Tensor:
        """Put visible tokens (B, num_visible, D) in their places and mask_token (1, 1, D) elsewhere: (B, N, D)."""
        batch, length = self.ids_restore.shape
        fill = mask_token.to(visible.dtype).expand(batch, length - self.num_visible, -1)
        return _take(torch.cat([visible, fill], dim=1), self.ids_restore)


class ContrastPath(NamedTuple):
    """A second pass of the encoder, for the contrastive streams alone.

    mask_ratio: share of the patches of either modality that it does not see, patch by patch. ids_restore_audio,
    ids_restore_visual: (B, N) ranks in place of random draws, as in `Masking`.
    """

    mask_ratio: float
    ids_restore_audio: Tensor | None = None
    ids_restore_visual: Tensor | None = None


def ranked(priority: Tensor) -> Tensor:
    """Ranks (B, N) int64 that keep the patches of the highest priority (B, N) visible; equal ones in their order."""
    return priority.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def mask_shape(grid: PatchGrid, mask_ratio: float, mode: MaskMode) -> PatchGrid:
    """Rows and columns of the grid that stay visible; for unstructured masks (1, number of visible patches).

    Structured masks hide whole rows (frequency), whole columns (time) or both, as close to the ratio as whole lines
    allow; at least one line or patch stays visible. Raises ConfigError for a ratio outside [0, 1).
    """
    if not 0.0 <= mask_ratio < 1.0:
        raise ConfigError(f"The mask ratio is {mask_ratio}, expected at least 0 and less than 1: change it.")
    rows, columns = grid
    share = 1.0 - mask_ratio
    if mode == "unstructured":
        # The small term undoes rounding such as 10 * (1 - 0.9) = 0.9999.
        return 1, max(1, int(rows * columns * share + 1e-6))
    if mode == "time":
        return rows, max(1, round(columns * share))
    if mode == "frequency":
        return max(1, round(rows * share)), columns
    visible_rows = max(1, round(rows * math.sqrt(share)))
    return visible_rows, min(columns, max(1, round(rows * columns * share / visible_rows)))


def count_visible(grid: PatchGrid, mask_ratio: float, mode: MaskMode = "unstructured") -> int:
    """Number of patches that stay visible."""
    return math.prod(mask_shape(grid, mask_ratio, mode))


def draw_masking(
    batch: int,
    grid: PatchGrid,
    mask_ratio: float,
    mode: MaskMode = "unstructured",
    *,
    device: torch.device | None = None,
    generator: torch.Generator | None = None,
) -> Masking:
    """Draw a mask for each item of a batch, independently; reproducible with a generator."""
    num_visible = count_visible(grid, mask_ratio, mode)
    noise = _uniform((batch, math.prod(grid)), device, generator)
    if mode != "unstructured":
        visible_rows, visible_columns = mask_shape(grid, mask_ratio, mode)
        row = _chosen(batch, grid[0], visible_rows, device, generator)
        column = _chosen(batch, grid[1], visible_columns, device, generator)
        noise = noise + ~(row[:, :, None] & column[:, None, :]).flatten(1)
    return Masking(noise.argsort(dim=1).argsort(dim=1), num_visible)


def make_masking(
    ids_restore: Tensor | None,
    batch: int,
    device: torch.device,
    grid: PatchGrid,
    mask_ratio: float,
    mode: MaskMode,
    generator: torch.Generator | None,
    place: BatchPlace | None = None,
) -> Masking:
    """The mask given by `ids_restore` (B, N), or a drawn one where that is None.

    place: the batch is part of a larger one, for which masks are drawn, so that they do not depend on how it is split.
    Raises ConfigError where ids_restore has another shape.
    """
    if ids_restore is None:
        first, total = (0, batch) if place is None else place
        drawn = draw_masking(total, grid, mask_ratio, mode, device=device, generator=generator)
        return Masking(drawn.ids_restore[first : first + batch], drawn.num_visible)
    expected = (batch, math.prod(grid))
    if tuple(ids_restore.shape) != expected:
        raise ConfigError(
            f"ids_restore has shape {tuple(ids_restore.shape)}, expected {expected}: give one rank per patch."
        )
    return Masking(ids_restore.to(device).long(), count_visible(grid, mask_ratio, mode))


def draw_mask_ratio(config: ModelConfig, generator: torch.Generator | None = None) -> float:
    """A fresh ratio from mask_ratio_choices, or else from mask_ratio_range."""
    position = _uniform((), None, generator).item()
    if config.mask_ratio_choices is not None:
        return config.mask_ratio_choices[int(position * len(config.mask_ratio_choices))]
    low, high = config.mask_ratio_range
    return low + (high - low) * position


def _uniform(shape: tuple[int, ...], device: torch.device | None, generator: torch.Generator | None) -> Tensor:
    source = device if generator is None else generator.device
    return torch.rand(shape, device=source, generator=generator).to(device)


def _chosen(
    batch: int, lines: int, count: int, device: torch.device | None, generator: torch.Generator | None
) -> Tensor:
    """Bool (batch, lines), `count` of them True in each item."""
    return _uniform((batch, lines), device, generator).argsort(dim=1).argsort(dim=1) < count


def _take(tokens: Tensor, ids: Tensor) -> Tensor:
    return tokens.gather(1, ids.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
