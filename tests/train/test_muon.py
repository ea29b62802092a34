"""Muon against PyTorch's Muon and AdamW, and what it is given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.train import preset
from cavsync.train.config import TrainConfig
from cavsync.train.explain import explain
from cavsync.train.muon import Muon, orthogonal_names, orthogonalised
from cavsync.train.optimizer import load_optimizer_state, make_optimizer, optimizer_state

STEPS = 5
RATE, DECAY = 0.02, 0.1
CPU = torch.device("cpu")


def a_model(seed: int = 0) -> nn.Sequential:
    """Weights that are wide, tall, of equal shapes, and of a convolution; biases and norms."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(96, 8), nn.Linear(8, 32), nn.Linear(32, 8),
        nn.Linear(8, 32),
    )  # fmt: skip


def take_steps(model: nn.Module, optimizers: list[torch.optim.Optimizer], steps: int = STEPS, seed: int = 1) -> None:
    torch.manual_seed(seed)
    for _ in range(steps):
        model.zero_grad()
        model(torch.randn(4, 2, 6, 6)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()


def config(**changes: object) -> TrainConfig:
    values = {"optimizer": "muon", "learning_rate": RATE, "weight_decay": DECAY, "betas": (0.9, 0.98)}
    return TrainConfig.model_validate(values | changes)


def test_steps_are_those_of_pytorch() -> None:
    model = a_model()
    optimizer = make_optimizer(model, config(), CPU)
    # PyTorch's Muon takes matrices only.
    reference = [nn.Parameter(p.detach().flatten(1).clone() if p.ndim > 2 else p.detach().clone())
                 for p in model.parameters()]  # fmt: skip
    before = [parameter.detach().clone() for parameter in model.parameters()]
    matrices, others = ([p for p in reference if (p.ndim > 1) == is_matrix] for is_matrix in (True, False))
    muon = torch.optim.Muon(matrices, lr=RATE, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(others, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    for _ in range(STEPS):
        for parameter, wanted in zip(model.parameters(), reference, strict=True):
            parameter.grad = torch.randn_like(parameter)
            wanted.grad = parameter.grad.view_as(wanted).clone()
        for each in (optimizer, muon, adamw):
            each.step()
    for old, found, wanted in zip(before, model.parameters(), reference, strict=True):
        change, wanted_change = found - old, wanted.view_as(found) - old
        assert wanted_change.abs().max() > RATE / 10
        # The iteration runs in bfloat16, whose products round differently one by one and in batches.
        assert (change - wanted_change).norm() < 0.01 * wanted_change.norm()


@pytest.mark.parametrize("shape", [(3, 12, 40), (2, 40, 12), (1, 16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    found = orthogonalised(matrices).float()
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = torch.linalg.svdvals(found)
    assert values.max() < 1.3
    # A square matrix has singular values too near 0 for five rounds.
    assert values.median() > 0.6
    overlap = (found * (left @ right)).sum((1, 2)) / (found.norm(dim=(1, 2)) * (left @ right).norm(dim=(1, 2)))
    assert overlap.min() > 0.95


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    model, untouched = a_model(), a_model()
    optimizer, steady = make_optimizer(model, config(), CPU), make_optimizer(untouched, config(), CPU)
    take_steps(model, [optimizer], 2)
    take_steps(untouched, [steady], 2)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, float("nan"))
    optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.found_inf = torch.zeros(())  # type: ignore[attr-defined]
    take_steps(model, [optimizer], 2, seed=5)
    take_steps(untouched, [steady], 2, seed=5)
    for found, wanted in zip(model.parameters(), untouched.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_its_state_is_saved_and_loaded_by_name() -> None:
    model, resumed = a_model(), a_model()
    optimizer = make_optimizer(model, config(), CPU)
    take_steps(model, [optimizer])
    other = make_optimizer(resumed, config(), CPU)
    saved = {name: {key: value.clone() for key, value in state.items()}
             for name, state in optimizer_state(model, optimizer).items()}  # fmt: skip
    resumed.load_state_dict(model.state_dict())
    load_optimizer_state(resumed, other, saved)
    take_steps(model, [optimizer], seed=2)
    take_steps(resumed, [other], seed=2)
    assert set(saved["3.weight"]) == {"momentum"}
    for found, wanted in zip(resumed.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_it_gets_the_weights_of_layers_only() -> None:
    sizes = preset("demo")[0]
    assert isinstance(sizes, ModelConfig)
    model = CAVMAESync(sizes)
    names = orthogonal_names(model)
    layers = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    parameters = dict(model.named_parameters())
    assert names == layers
    left = parameters.keys() - names
    assert any(parameters[name].ndim > 1 for name in left), "positions stay with AdamW"
    groups = make_optimizer(model, config(), CPU).param_groups
    given = {id(parameter) for group in groups if group["orthogonal"] for parameter in group["params"]}
    assert given == {id(parameters[name]) for name in names}


def test_convolutions_in_groups_and_single_rows_are_left_out() -> None:
    model = nn.ModuleDict(
        {"depthwise": nn.Conv2d(8, 8, 3, groups=8), "score": nn.Linear(8, 1), "hidden": nn.Linear(8, 8)}
    )
    assert orthogonal_names(model) == {"hidden.weight"}


def test_a_closure_is_called_with_gradients_on() -> None:
    model = a_model()
    optimizer = make_optimizer(model, config(), CPU)
    assert isinstance(optimizer, Muon)

    def closure() -> float:
        loss = model(torch.ones(4, 2, 6, 6)).square().mean()
        loss.backward()
        return float(loss.detach())

    assert optimizer.step(closure) > 0


def test_it_refuses_sharded_matrices() -> None:
    with pytest.raises(ConfigError, match="set strategy to ddp, or optimizer to adamw"):
        config(strategy="fsdp")


def test_its_memory_is_explained() -> None:
    sizes, train = preset("demo")
    assert isinstance(sizes, ModelConfig)
    model = CAVMAESync(sizes)
    optimizer = make_optimizer(model, config(), CPU)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = sum(value.nbytes for state in optimizer.state.values() for key, value in state.items() if key != "step")
    assert explain(sizes, train.model_copy(update={"optimizer": "muon"})).memory.optimizer == held
