"""InfoNCE over large and gathered batches."""

from __future__ import annotations

import torch
from torch import Tensor

from cavsync.kernels import reference
from cavsync.kernels.dispatch import Candidate, Implementation, register


def _triton() -> Implementation:
    from cavsync.kernels.triton.info_nce import IMPLEMENTATION

    return IMPLEMENTATION


def _torch() -> Implementation:
    from cavsync.kernels.torch.info_nce import IMPLEMENTATION

    return IMPLEMENTATION


OPERATION = register(
    "info_nce",
    Candidate("triton", _triton, requires=("triton",), devices=("cuda",)),
    Candidate("torch", _torch),
    Candidate("reference", lambda: Implementation(reference.info_nce)),
)


def info_nce(
    queries: Tensor,
    keys: Tensor,
    temperature: Tensor | float,
    first_positive: int = 0,
    ignore: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """InfoNCE in one direction over cosines: every query against all keys, its positive at its own index.

    queries (N, D) and keys (M, D) need not be normalised; the positive of query i is key `first_positive + i`.
    ignore: bool (N, N), pairs of a query and an own key `first_positive + j` that are not negatives; positives are
    never ignored. Returns the mean loss and the share of queries whose positive scores highest, float32 scalars.
    Computed in float32, also under autocast. Source: van den Oord et al. 2018, arXiv 1807.03748.
    """
    with torch.autocast(queries.device.type, enabled=False):
        scale = torch.as_tensor(temperature, dtype=torch.float32, device=queries.device)
        queries, keys = (item.float() if item.dtype == torch.float64 else item for item in (queries, keys))
        loss, accuracy = OPERATION(queries, keys, scale, first_positive, ignore)
    return loss, accuracy


def symmetric_info_nce(
    queries: Tensor, keys: Tensor, temperature: Tensor | float, ignore: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean of both directions between queries and keys (N, D); ignore bool (N, N), rows are queries."""
    forth, forth_accuracy = info_nce(queries, keys, temperature, ignore=ignore)
    back, back_accuracy = info_nce(keys, queries, temperature, ignore=None if ignore is None else ignore.T)
    return (forth + back) / 2, (forth_accuracy + back_accuracy) / 2
