"""Several processes see the whole batch's negatives."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from two_processes import BATCH, run, step, whole_batch


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.spawn(run, args=(str(tmp_path),), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    shares = [len(part["audio"]) / BATCH for part in parts]
    whole = step(*whole_batch())
    for name in ("loss", "accuracy"):
        mean = sum(part[name] * share for part, share in zip(parts, shares, strict=True))
        torch.testing.assert_close(mean, whole[name])
    for name in ("audio", "visual"):
        # Data-parallel training averages gradients over processes.
        torch.testing.assert_close(torch.cat([part[name] for part in parts]) / 2, whole[name])
