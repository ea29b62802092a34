"""Recorded steps, on the CPU with a recorder that runs work again, give the numbers of steps that are not recorded."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_graphs import FakeRecorder
from lightning_fabric import Fabric
from small_models import PAIRS, small_config, small_model

from cavsync.errors import DataError
from cavsync.model.checkpoint import load_model
from cavsync.train import Trainer, loop, override, preset
from cavsync.train.graphs import engine as engines
from cavsync.train.graphs import step as steps
from cavsync.train.graphs.engine import StepEngine
from cavsync.train.graphs.half_weights import HalfWeights
from cavsync.train.optimizer import make_optimizer, set_rate
from cavsync.train.ranks import Ranks
from cavsync.train.step import TrainingStep
from cavsync.train.tasks.pretraining import Pretraining

OPTIONS: dict[str, Any] = {"workers": 1, "precision": "32-true", "max_steps": 6, "log_every_steps": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16-mixed"},
    "in parts, clipped, averaged": {"gradient_accumulation": 2, "clip_gradient_norm": 0.05, "ema_decay": 0.9},
    "with a teacher": {"contrast_mask": "teacher", "teacher_decay": 0.9, "distil_loss_weight": 0.1},
    "masks of its own": {"contrast_mask": "random", "instants_per_clip": 2, "guard_seconds": 0.3},
}


def trainer(run_dir: Path, **values: Any) -> Trainer:
    return Trainer(*override(*preset("debug"), OPTIONS | values), run_dir)


def losses(run_dir: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    names = ("loss", "loss_mae", "contrastive_accuracy")
    return {line["step"]: {name: line[name] for name in names} for line in lines if "loss" in line}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> FakeRecorder:
    """Every run of the test records its steps with this one."""
    fake = FakeRecorder()
    monkeypatch.setattr(loop, "with_graphs", lambda step: steps.GraphedStep(step, fake))
    return fake


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)
def test_a_recorded_run_gives_the_numbers_of_another(
    values: dict[str, Any], clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(tmp_path / "eager", **values).run(clips)
    fake = FakeRecorder()
    monkeypatch.setattr(loop, "with_graphs", lambda step: steps.GraphedStep(step, fake))
    trainer(tmp_path / "recorded", **values).run(clips)
    assert fake.recorded == 2
    assert fake.replays
    expected, found = losses(tmp_path / "eager"), losses(tmp_path / "recorded")
    assert expected.keys() == found.keys()
    for step, numbers in expected.items():
        # The rate is a float32 there.
        assert found[step] == pytest.approx(numbers, rel=1e-4), step
    eager, recorded = (load_model(tmp_path / name).state_dict() for name in ("eager", "recorded"))
    for name, value in eager.items():
        # The gradient of a key's bias is 0 but for rounding, which Adam makes steps of.
        if value.ndim > 1:
            torch.testing.assert_close(recorded[name], value, rtol=1e-3, atol=2e-5)


def test_a_recorded_run_resumes(clips: Path, tmp_path: Path, recorder: FakeRecorder) -> None:
    trainer(tmp_path / "whole").run(clips)
    trainer(tmp_path / "parts", max_steps=3).run(clips)
    trainer(tmp_path / "parts").run(clips, resume=True)
    expected, found = losses(tmp_path / "whole"), losses(tmp_path / "parts")
    for step, numbers in expected.items():
        assert found[step] == pytest.approx(numbers, rel=1e-5), step


def test_a_run_resumes_without_graphs(clips: Path, tmp_path: Path) -> None:
    """Where recording broke off a run on one machine, it must not be lost."""
    trainer(tmp_path / "run", max_steps=1).run(clips)
    assert trainer(tmp_path / "run", max_steps=2, cuda_graphs=False).run(clips, resume=True).state.step == 2


def test_a_loss_that_is_not_finite_changes_no_weight(
    clips: Path, tmp_path: Path, recorder: FakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noticed after the update, which the device has left out."""
    trainer(tmp_path / "run", max_steps=4, checkpoint_every_steps=4).run(clips)
    before = load_model(tmp_path / "run").state_dict()
    compute = Pretraining.compute

    def broken(self: Pretraining, model: Any, inputs: dict[str, torch.Tensor]) -> Any:
        loss, scalars = compute(self, model, inputs)
        return loss * torch.inf, scalars

    monkeypatch.setattr(Pretraining, "compute", broken)
    stopped = trainer(tmp_path / "run")
    taken: dict[str, torch.Tensor] = {}
    take = steps.GraphedStep.take

    def watched(self: steps.GraphedStep, batch: Any) -> Any:
        try:
            return take(self, batch)
        finally:
            taken.update({name: value.clone() for name, value in self._step.model.module.state_dict().items()})

    monkeypatch.setattr(steps.GraphedStep, "take", watched)
    with pytest.raises(DataError, match="The loss of step 4 is not finite"):
        stopped.run(clips, resume=True)
    assert (tmp_path / "run" / "non_finite_step_4.json").is_file()
    assert taken.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(taken[name], value), name


def engine_of(
    recorder: FakeRecorder, precision: str = "32-true", optimizer_name: str = "adam"
) -> tuple[StepEngine, Any, Any]:
    """An engine around a small linear model, its Fabric-wrapped model and optimizer."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    model: Any = fabric.setup_module(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)))
    config = override(*preset("debug"), {"learning_rate": 0.01, "optimizer": optimizer_name})[1]
    optimizer: Any = fabric.setup_optimizers(make_optimizer(model.module, config, fabric.device))

    def compute(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        error = (model(inputs["x"]) - inputs["y"]).square().mean()
        return error, {"twice": 2 * error.detach()}

    return StepEngine(compute, fabric, model, optimizer, recorder), model, optimizer


def batch_of(rows: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.randn(rows, 4, generator=generator), "y": torch.randn(rows, 1, generator=generator)}


@pytest.mark.parametrize("optimizer_name", ["adam", "muon"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_replays_read_and_write_the_same_memory(precision: str, optimizer_name: str) -> None:
    """A graph keeps addresses: those of weights, gradients, moments and rates may not change once it is recorded."""
    recorder = FakeRecorder()
    engine, model, optimizer = engine_of(recorder, precision, optimizer_name)
    addresses = []
    for step in range(engines.WARM_UP_RUNS + 3):
        set_rate(optimizer, 0.01 * (step + 1))
        inputs = batch_of(6, step)
        names, values = engine.part(inputs, 1.0)
        assert names == ("loss", "twice")
        # What is replayed reads no tensor of the caller.
        inputs["x"].fill_(torch.nan)
        assert values.isfinite().all()
        engine.update()
        tensors = [*model.parameters(), *(p.grad for p in model.parameters())]
        tensors += [value for state in optimizer.state.values() for value in state.values()]
        tensors += [group["lr"] for group in optimizer.param_groups]
        addresses.append([tensor.data_ptr() for tensor in tensors])
    assert recorder.recorded == engine.num_recorded == 2
    assert recorder.replays == 6
    assert all(found == addresses[0] for found in addresses[1:])
    assert all(float(group["lr"]) == pytest.approx(0.06) for group in optimizer.param_groups)


def test_parts_of_unequal_weight_add_up() -> None:
    """Gradients of parts of 2 and 6 rows are those of 8 rows together, before and after recording."""
    (split, split_model, _), (whole, whole_model, _) = engine_of(FakeRecorder()), engine_of(FakeRecorder())
    for step in range(6):
        rows = batch_of(8, step)
        split.part({name: value[:2] for name, value in rows.items()}, 0.25)
        split.part({name: value[2:] for name, value in rows.items()}, 0.75)
        whole.part(rows, 1.0)
        torch.testing.assert_close(split.update(), whole.update())
        torch.testing.assert_close([*split_model.parameters()], [*whole_model.parameters()])


def test_batches_of_many_shapes_are_not_all_recorded(caplog: pytest.LogCaptureFixture) -> None:
    recorder = FakeRecorder()
    engine, _, _ = engine_of(recorder)
    with caplog.at_level(logging.INFO):
        for _ in range(engines.WARM_UP_RUNS + 1):
            for rows in range(1, engines.MAX_SHAPES + 3):
                assert engine.part(batch_of(rows, rows), 1.0)[1].isfinite().all()
    assert recorder.recorded == engines.MAX_SHAPES
    assert "further shape" in caplog.text


def test_a_step_that_cannot_be_recorded_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    refused, plain = FakeRecorder("operation not permitted when stream is capturing"), FakeRecorder()
    (one, one_model, one_optimizer), (other, other_model, _) = (
        engine_of(refused, "bf16-mixed"),
        engine_of(plain, "bf16-mixed"),
    )
    for step in range(6):
        for engine in (one, other):
            engine.part(batch_of(5, step), 1.0)
            engine.update()
    torch.testing.assert_close([*one_model.parameters()], [*other_model.parameters()], rtol=0, atol=0)
    assert caplog.text.count("recording one failed: operation not permitted when stream is capturing") == 1
    assert not any(group["capturable"] for group in one_optimizer.param_groups)


@pytest.mark.parametrize("options", [{}, {"cls_token": False, "conv_stem": True}])
def test_copies_of_the_weights_give_what_autocast_gives(options: dict[str, Any]) -> None:
    """To the bit: losses, and gradients in float32."""
    model = small_model(**options)
    inputs = torch.randn(3, 80, 128), torch.randn(3, 3, 48, 48)
    found = []
    for copies in (None, HalfWeights(model, torch.bfloat16)):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if copies is None:
                loss = model(*inputs, generator=torch.Generator().manual_seed(0)).loss
                loss.backward()
            else:
                with copies.in_use():
                    loss = model(*inputs, generator=torch.Generator().manual_seed(0)).loss
                    loss.backward()
        found.append((loss.detach(), {name: p.grad for name, p in model.named_parameters()}))
    (plain_loss, plain), (loss, ours) = found
    assert torch.equal(loss, plain_loss)
    for name, gradient in plain.items():
        if gradient is None:
            assert ours[name] is None, name
        else:
            assert torch.equal(ours[name], gradient), name


def step_of(ranks: Ranks, **model: Any) -> TrainingStep:
    config = override(*preset("debug"), {})[1]
    task = Pretraining(small_config(**model), config)
    nothing: Any = None
    return TrainingStep(nothing, ranks, task, config, nothing, nothing, nothing)


def test_reasons_against_recording() -> None:
    assert steps.reason_against(step_of(Ranks())) == ""
    assert "several processes" in steps.reason_against(step_of(Ranks(0, 2)))
    assert "pair_stem" in steps.reason_against(step_of(Ranks(), **PAIRS))
    assert "multi_ratio_masking" in steps.reason_against(step_of(Ranks(), multi_ratio_masking=True))
