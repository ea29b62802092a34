"""A training step recorded as CUDA graphs gives the numbers of the same step run operation by operation."""

from typing import Any

import pytest
import torch

pytest.importorskip("pydantic", reason="the model's configuration needs pydantic")
pytest.importorskip("lightning_fabric", reason="training needs lightning-fabric")
pytest.importorskip("torchaudio", reason="training needs torchaudio")
pytest.importorskip("av", reason="training needs PyAV")

from fake_graphs import FakeRecorder
from lightning_fabric import Fabric
from small_models import small_config, small_inputs

from cavsync.model import CAVMAESync
from cavsync.train.graphs.engine import WARM_UP_RUNS, StepEngine
from cavsync.train.graphs.recorder import CudaRecorder, Recorder
from cavsync.train.optimizer import make_optimizer, set_rate
from cavsync.train.presets import preset
from cavsync.train.tasks.pretraining import describe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

WIDE = {"embed_dim": 128, "num_heads": 2, "decoder_embed_dim": 64, "decoder_num_heads": 2}
STEPS = WARM_UP_RUNS + 4


def batches(config: Any, parts: int) -> list[list[dict[str, torch.Tensor]]]:
    """Inputs of every part of every step, with the ranks of their masks."""
    found = []
    for step in range(STEPS * parts):
        fbank, frames = (item.cuda() for item in small_inputs(config, batch=6, seed=step))
        generator = torch.Generator("cuda").manual_seed(step)
        ranks = {
            f"ids_restore_{name}": torch.rand(6, rows * columns, generator=generator, device="cuda").argsort(dim=1)
            for name, (rows, columns) in (("audio", config.audio_grid), ("visual", config.visual_grid))
        }
        found.append({"fbank": fbank, "frames": frames, **ranks})
    return [found[step * parts : (step + 1) * parts] for step in range(STEPS)]


def trained(recorder: Recorder, parts: int, compiled: bool) -> tuple[list[float], dict[str, torch.Tensor], int]:
    """Losses and norms of all steps, the weights after them, and the number of graphs."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cuda", devices=1, precision="bf16-mixed")
    plain = CAVMAESync(small_config(**WIDE))
    if compiled:
        plain.compile()
    model: Any = fabric.setup_module(plain)
    config = preset("debug")[1]
    optimizer: Any = fabric.setup_optimizers(make_optimizer(plain, config, fabric.device))

    def compute(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        output = model(**inputs)
        return output.loss, describe(output)

    engine = StepEngine(compute, fabric, model, optimizer, recorder, max_norm=1.0)
    numbers = []
    for step, found in enumerate(batches(plain.config, parts)):
        set_rate(optimizer, 1e-3 * (step + 1) / STEPS)
        numbers += [engine.part(inputs, 1 / parts)[1] for inputs in found]
        numbers.append(engine.update()[None])
    return torch.cat(numbers).tolist(), {name: p.detach() for name, p in plain.named_parameters()}, engine.num_recorded


@pytest.mark.parametrize("parts", [1, 2])
def test_a_captured_step_equals_an_eager_one(parts: int) -> None:
    expected, weights, none = trained(FakeRecorder(refusal="not in this run"), parts, compiled=False)
    found, captured, graphs = trained(CudaRecorder(), parts, compiled=False)
    assert (none, graphs) == (0, 2)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    total = torch.stack([value.norm() for value in weights.values()]).norm()
    error = torch.stack([(captured[name] - value).norm() for name, value in weights.items()]).norm()
    assert error / total < 1e-4


def test_a_compiled_step_is_captured() -> None:
    expected, _, _ = trained(FakeRecorder(refusal="not in this run"), 1, compiled=False)
    found, _, graphs = trained(CudaRecorder(), 1, compiled=True)
    assert graphs == 2
    assert found == pytest.approx(expected, rel=2e-2, abs=1e-3)


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    """Neither weights nor moments, in a replayed graph."""
    torch.manual_seed(0)
    fabric = Fabric(accelerator="cuda", devices=1)
    model: Any = fabric.setup_module(torch.nn.Linear(4, 1))
    optimizer: Any = fabric.setup_optimizers(make_optimizer(model.module, preset("debug")[1], fabric.device))
    engine = StepEngine(lambda m, x: (m(x["x"]).square().mean(), {}), fabric, model, optimizer, CudaRecorder())
    for _ in range(WARM_UP_RUNS + 1):
        engine.part({"x": torch.randn(8, 4, device="cuda")}, 1.0)
        engine.update()
    assert engine.num_recorded == 2
    state = [*model.parameters(), *(value for item in optimizer.state.values() for value in item.values())]
    before = [value.detach().clone() for value in state]
    engine.part({"x": torch.full((8, 4), torch.inf, device="cuda")}, 1.0)
    assert not engine.update().isfinite()
    for value, kept in zip(state, before, strict=True):
        assert torch.equal(value, kept)
    engine.part({"x": torch.randn(8, 4, device="cuda")}, 1.0)
    assert engine.update().isfinite()
    assert not torch.equal(state[0], before[0])
