"""Position tables of a checkpoint made to fit a model of another audio length or frame size."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from cavsync.model.config import ModelConfig, PatchGrid

AUDIO_TABLES = ("pos_embed_a", "decoder_pos_embed_a")
VISUAL_TABLES = ("pos_embed_v", "decoder_pos_embed_v")


def fit_positions(state: Mapping[str, Tensor], config: ModelConfig) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the state dict with its position tables as a model of `config` needs them, and of each table that was
    changed what was done to it, by its name.

    Audio: a shorter model takes the first steps of time, so every patch keeps its position; for a longer one the table
    is stretched over time (bilinear). Frames: the table is resized (bicubic). Tables of the right size, and tables that
    are no grid of the model's patches, are left as they are.
    """
    fitted, changes = dict(state), dict[str, str]()
    for names, grid, resize in ((AUDIO_TABLES, config.audio_grid, _audio), (VISUAL_TABLES, config.visual_grid, _frame)):
        for name in names:
            table = state.get(name)
            if table is None or table.ndim != 3 or table.shape[1] == grid[0] * grid[1]:
                continue
            found = resize(table, grid)
            if found is not None:
                fitted[name], changes[name] = found
    return fitted, changes


def _audio(table: Tensor, grid: PatchGrid) -> tuple[Tensor, str] | None:
    rows, columns = grid
    if table.shape[1] % rows:
        return None
    old = table.unflatten(1, (rows, -1))
    before = old.shape[2]
    if columns <= before:
        return old[:, :, :columns].flatten(1, 2), f"the first {columns} of {before} steps of time are used"
    return _resized(old, (rows, columns), "bilinear"), f"stretched from {before} to {columns} steps of time"


def _frame(table: Tensor, grid: PatchGrid) -> tuple[Tensor, str] | None:
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        return None
    old = table.unflatten(1, (side, side))
    return _resized(old, grid, "bicubic"), f"resized from {side} x {side} to {grid[0]} x {grid[1]} patches"


def _resized(table: Tensor, grid: PatchGrid, mode: str) -> Tensor:
    """Interpolate a table (1, rows, columns, D) to (1, rows * columns, D) of `grid`."""
    image = table.permute(0, 3, 1, 2).to(torch.float32)
    return F.interpolate(image, size=grid, mode=mode, align_corners=False).flatten(2).transpose(1, 2)
