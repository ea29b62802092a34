"""Several processes see the whole batch's negatives."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from two_processes import run, step, whole_batch


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    mp.spawn(run, args=(str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    whole = step(*whole_batch())
    for name in ("loss", "accuracy"):
        torch.testing.assert_close((halves[0][name] + halves[1][name]) / 2, whole[name])
    for name in ("audio", "visual"):
        # Data-parallel training averages gradients over processes.
        torch.testing.assert_close(torch.cat([half[name] for half in halves]) / 2, whole[name])
