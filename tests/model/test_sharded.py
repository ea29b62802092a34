"""Sharded parameters (FSDP) pass through the packed forward and its operators."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from sharded_step import gradients, run


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_two_shards_give_the_gradients_of_one_process(backend: str, tmp_path: Path) -> None:
    mp.spawn(run, args=(str(tmp_path), backend), nprocs=2)
    sharded = torch.load(tmp_path / "gradients.pt")
    whole = gradients(backend, None)
    assert sharded.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(sharded[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
