"""The average of the weights, against a loop, and its way into checkpoints."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from cavsync.model.checkpoint import load_model
from cavsync.run import RunFolder
from cavsync.train import Trainer, override, preset
from cavsync.train.ema import WeightAverage, moving, over_epochs


def test_against_a_loop() -> None:
    """With the early steps' smaller decay; batch statistics are the latest."""
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = WeightAverage(model, moving(0.9))
    expected = model[0].weight.detach().double().numpy().copy()
    for step in range(1, 120):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(2, 3, generator=torch.Generator().manual_seed(step)))
            model[1].running_mean.add_(1.0)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model[0].weight.detach().double().numpy()
    state = average.state()
    np.testing.assert_allclose(state["0.weight"].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(state["1.running_mean"], model[1].running_mean)
    kept = model[0].weight.detach().clone()
    with average.swapped_in():
        assert torch.equal(model[0].weight, state["0.weight"])
    assert torch.equal(model[0].weight, kept)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 600), st.integers(1, 60), st.integers(1, 60))
@example(7, 3, 15, 1)
def test_every_epoch_ends_once(clips: int, batch: int, epochs: int, first: int) -> None:
    """The ends of epochs in exact fractions, the last one among them: a mean of as many as there are."""
    batch, first = min(batch, clips), min(first, epochs)
    weight = over_epochs(first, clips / batch)
    for epoch in range(first, epochs + 1):
        end = math.ceil(Fraction(epoch * clips, batch))
        # Where a batch holds several epochs, a step may end more than one.
        finished, before = ((step * batch) // clips for step in (end, end - 1))
        assert weight(end) == pytest.approx(1 / (finished - first + 1))
        if before >= first and (end - 2) * batch // clips == before:
            assert weight(end - 1) == 0.0


def test_it_is_what_a_run_gives(clips: Path, tmp_path: Path) -> None:
    """Checkpoints hold both; loading gives the average unless the weights are asked for."""
    options = {"ema_decay": 0.5, "max_steps": 3, "workers": 0, "precision": "32-true", "learning_rate": 1e-2}
    Trainer(*override(*preset("debug"), options), tmp_path / "run").run(clips)
    stored = load_file(RunFolder(tmp_path / "run").checkpoint(3).average)
    name = "patch_embed_a.proj.weight"
    assert torch.equal(load_model(tmp_path / "run").state_dict()[name], stored[name])
    weights = load_model(tmp_path / "run", averaged=False).state_dict()[name]
    assert not torch.equal(weights, stored[name])
