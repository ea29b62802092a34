"""Fixed 2-D sine-cosine position tables."""

import torch
from torch import Tensor, nn

from cavsync.model.config import PatchGrid

MAX_WAVELENGTH = 10000.0


def sincos_2d(dim: int, grid: PatchGrid) -> Tensor:
    """Position table (1, rows · columns, dim), float32, for a row-major grid.

    The first half of the channels encodes the column (time, for audio), the second half the row; each half is
    sines then cosines over geometric frequencies. dim must be a multiple of 4. Frequencies are taken in float64
    as in CAV-MAE; tables of published checkpoints are loaded, not recomputed. Source: MAE, arXiv 2111.06377.
    """
    rows, columns = grid
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    table = torch.cat([_sincos_1d(dim // 2, column.flatten()), _sincos_1d(dim // 2, row.flatten())], dim=1)
    return table.float().unsqueeze(0)


def position_table(dim: int, grid: PatchGrid, trainable: bool) -> nn.Parameter:
    """The table as a parameter, so that checkpoints hold it; it gets a gradient only if `trainable`."""
    return nn.Parameter(sincos_2d(dim, grid), requires_grad=trainable)


def _sincos_1d(dim: int, positions: Tensor) -> Tensor:
    exponents = torch.arange(dim // 2, dtype=torch.float64) / (dim // 2)
    angles = positions.double()[:, None] * MAX_WAVELENGTH**-exponents
    return torch.cat([angles.sin(), angles.cos()], dim=1)
