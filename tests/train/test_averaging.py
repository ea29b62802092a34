"""Averaged checkpoints, against a mean taken by numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small_models import TUBELETS, small_model

from cavsync.cli.main import main
from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.checkpoint import load_model, save_model, save_state
from cavsync.run import Run, RunFolder
from cavsync.train.averaging import average_checkpoints, write_average

STEPS = (10, 20, 40)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three checkpoints of a model with batch norms, each of another seed, and a list of held-out clips."""
    folder = tmp_path / "run"
    for seed, step in enumerate(STEPS):
        model = small_model(seed, **TUBELETS)
        for name, buffer in model.named_buffers():
            buffer.fill_(step) if name.endswith("num_batches_tracked") else buffer.uniform_(0.5, 2)
        save_model(model, folder, step, train={"preset": "debug"}, source={"file": "start.pth"})
    (folder / "held_out.json").write_text(json.dumps({"clips": ["a.mp4"]}))
    return folder


def states(run: Path, *steps: int) -> list[dict[str, np.ndarray]]:
    """What the files hold."""
    return [
        {name: value.numpy() for name, value in load_file(RunFolder(run).checkpoint(step).weights).items()}
        for step in steps
    ]


def test_mean_of_all_weights(run: Path) -> None:
    """Floats are numpy's float64 mean rounded once, statistics too; counters are the last step's, whatever order."""
    found = average_checkpoints(run, (40, 10, 20))
    files = states(run, *STEPS)
    assert found.keys() == files[0].keys()
    counters = [name for name in found if name.endswith("num_batches_tracked")]
    assert counters
    for name, value in found.items():
        if name in counters:
            assert value.item() == 40
        else:
            wanted = np.mean([file[name].astype(np.float64) for file in files], axis=0).astype(np.float32)
            np.testing.assert_array_equal(value.numpy(), wanted)


def test_one_step_is_itself(run: Path) -> None:
    """The mean of one checkpoint changes no bit."""
    (file,) = states(run, 20)
    assert all(np.array_equal(value.numpy(), file[name]) for name, value in average_checkpoints(run, [20]).items())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-4096, 4096, width=32), min_size=1, max_size=6), st.sampled_from([1e-30, 1.0, 1e30]))
def test_sums_do_not_lose_small_values(tmp_path_factory: pytest.TempPathFactory, values: list, scale: float) -> None:
    """Any float32 values, any order of magnitude: as exact as one rounding allows."""
    run = tmp_path_factory.mktemp("run")
    numbers = (np.array(values, dtype=np.float64) * scale).astype(np.float32)
    for step, number in enumerate(numbers):
        save_state({"weight": torch.tensor([number])}, run, step)
    found = average_checkpoints(run, range(len(numbers)))["weight"]
    assert found.dtype == torch.float32
    wanted = np.float32(np.mean(numbers.astype(np.float64)))
    np.testing.assert_allclose(found.numpy()[0], wanted, rtol=1e-6, atol=1e-12 * np.abs(numbers).max())


def test_half_precision_keeps_its_type(tmp_path: Path) -> None:
    """bf16 weights are averaged in float64 and stored as bf16."""
    for step, value in enumerate((1.0, 1.0078125, 1.015625)):
        save_state({"weight": torch.tensor([value], dtype=torch.bfloat16)}, tmp_path, step)
    found = average_checkpoints(tmp_path, range(3))["weight"]
    assert (found.dtype, found.item()) == (torch.bfloat16, 1.0078125)


def test_new_run(run: Path, tmp_path: Path) -> None:
    """It loads as a model of the same configuration, says what it is made of, and keeps the held-out clips."""
    out = tmp_path / "average"
    assert write_average(run, (20, 10), out) == RunFolder(out).checkpoint(20).path
    assert RunFolder(out).steps() == [20]
    model, config = load_model(out), Run.open(out).config
    wanted = average_checkpoints(run, (10, 20))
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    assert config.model == Run.open(run).config.model
    assert config.train == {"preset": "debug"}
    assert config.source == {"file": "start.pth", "averaged_steps": [10, 20]}
    assert (out / "held_out.json").read_bytes() == (run / "held_out.json").read_bytes()
    with pytest.raises(ConfigError, match="not an empty folder"):
        write_average(run, (10, 20), out)


def test_refusals(run: Path, tmp_path: Path) -> None:
    """No steps, repeated ones, missing ones, damaged files, other models: each by a sentence, nothing is written."""
    out = tmp_path / "average"
    for steps in ((), (10, 10)):
        with pytest.raises(ConfigError, match="each once"):
            write_average(run, steps, out)
    with pytest.raises(CheckpointError, match="has no step 30: it has 10, 20, 40"):
        write_average(run, (10, 30), out)
    weights = RunFolder(run).checkpoint(40).weights
    whole = load_file(weights)
    save_file({**whole, "norm.bias": torch.zeros(3)}, weights)
    with pytest.raises(CheckpointError, match=r"another model .*norm\.bias"):
        write_average(run, STEPS, out)
    save_file({name: value for name, value in whole.items() if name != "norm_a.weight"}, weights)
    with pytest.raises(CheckpointError, match=r"norm_a\.weight"):
        write_average(run, STEPS, out)
    weights.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match="leave step 40 out"):
        write_average(run, STEPS, out)
    assert not out.exists()


def test_command(run: Path, tmp_path: Path) -> None:
    """All checkpoints by default, those that are named otherwise."""
    done = CliRunner().invoke(main, ["average", str(run), "--out", str(tmp_path / "all")])
    assert done.exit_code == 0, done.output
    assert Run.open(tmp_path / "all").config.source["averaged_steps"] == list(STEPS)
    done = CliRunner().invoke(main, ["average", str(run), "--out", str(tmp_path / "two"), "--steps", "10,40"])
    assert done.exit_code == 0, done.output
    assert Run.open(tmp_path / "two").config.source["averaged_steps"] == [10, 40]
    assert CliRunner().invoke(main, ["average", str(run), "--out", "x", "--steps", "ten"]).exit_code == 2
