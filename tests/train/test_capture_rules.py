"""What a step leaves to the device can be recorded: nothing in it waits for the host or copies from it.

Without a GPU: every operator that a capture would refuse is refused, of the forward pass with fakes of tensors that say
they are on a GPU (PyTorch cannot go back through those without one), of the whole step with values on the CPU.
"""

from typing import Any
from unittest.mock import Mock

import pytest
import torch
from fake_gpu import DEVICE, CaptureRules, fake_gpu
from lightning_fabric import Fabric
from small_models import small_config, small_inputs

from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.teacher import TeacherEncoder
from cavsync.train import override, preset
from cavsync.train.graphs.engine import WARM_UP_RUNS, StepEngine
from cavsync.train.graphs.recorder import CudaRecorder
from cavsync.train.loop import prepare
from cavsync.train.optimizer import make_optimizer
from cavsync.train.tasks.pretraining import Pretraining
from cavsync.train.tasks.task import Draw
from cavsync.train.teacher import Teacher

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as published": ({}, {}),
    "learned temperature, both ways": ({"learnable_temperature": True, "bidirectional_contrast": True}, {}),
    "structured masks": ({"mask_mode_audio": "time-frequency"}, {}),
    "conv stem, pixels normalised": ({"conv_stem": True, "norm_pix_loss": True}, {}),
    "a teacher": ({}, {"contrast_mask": "teacher", "teacher_decay": 0.9, "distil_loss_weight": 0.1}),
    "masks of its own": ({}, {"contrast_mask": "random"}),
    "recomputed": ({}, {"activation_checkpointing": True}),
    "Muon": ({}, {"optimizer": "muon"}),
}


class StrictRecorder:
    """Runs the work under the rules of a capture when it records."""

    def __init__(self) -> None:
        self.recorded = 0

    def warm_up(self, work: Any) -> None:
        work()

    def record(self, work: Any) -> Any:
        with CaptureRules():
            work()
        self.recorded += 1
        return work


def sizes(**options: Any) -> ModelConfig:
    """Heads as wide as Triton's kernels take them."""
    return small_config(embed_dim=64, num_heads=2, decoder_embed_dim=32, decoder_num_heads=2, **options)


def with_teacher(task: Pretraining, fabric: Any) -> Pretraining:
    """The task, with a random teacher where its loss needs one."""
    if task.config.teacher_decay is not None:
        task.teacher = Teacher.__new__(Teacher)
        task.teacher.config, task.teacher._fabric = task.config, fabric
        task.teacher._encoder = TeacherEncoder(task.model_config).eval()
    return task


def inputs_of(task: Pretraining, device: torch.device) -> dict[str, torch.Tensor]:
    """What `compute` takes, of random pairs."""
    fbank, frames = (item.to(device) for item in small_inputs(task.model_config, batch=4))
    draw = Draw(torch.Generator().manual_seed(0))
    return {"fbank": fbank, "frames": frames, **task._ranks(4, device, draw)}


@pytest.mark.parametrize(("model_options", "train_options"), VARIANTS.values(), ids=VARIANTS)
def test_the_forward_pass_copies_nothing(model_options: dict[str, Any], train_options: dict[str, Any]) -> None:
    """Between host and device; with the operators that a GPU gets."""
    config = override(*preset("debug"), train_options)[1]
    with fake_gpu(), torch.device(DEVICE):
        fabric: Any = Mock(autocast=lambda: torch.autocast("cuda", torch.bfloat16))
        task = with_teacher(Pretraining(sizes(**model_options), config), fabric)
        assert task.reason_against_recording() == ""
        model, inputs = CAVMAESync(task.model_config), inputs_of(task, DEVICE)
        prepare(model, config)
        with CaptureRules(), torch.autocast("cuda", torch.bfloat16):
            loss, scalars = task.compute(model, inputs)
        assert {value.device for value in (loss, *scalars.values())} == {DEVICE}


@pytest.mark.parametrize(("model_options", "train_options"), VARIANTS.values(), ids=VARIANTS)
def test_a_whole_step_reads_nothing(model_options: dict[str, Any], train_options: dict[str, Any]) -> None:
    """Forward, backward, clipping and update, with values on the CPU."""
    config = override(*preset("debug"), train_options)[1]
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    task = with_teacher(Pretraining(sizes(**model_options), config), fabric)
    torch.manual_seed(0)
    plain = CAVMAESync(task.model_config)
    prepare(plain, config)
    model: Any = fabric.setup_module(plain)
    optimizer: Any = fabric.setup_optimizers(make_optimizer(plain, config, fabric.device))
    recorder = StrictRecorder()
    engine = StepEngine(task.compute, fabric, model, optimizer, recorder, 1.0)
    inputs = inputs_of(task, fabric.device)
    for _ in range(WARM_UP_RUNS + 1):
        _, values = engine.part(inputs, 1.0)
        engine.update()
    assert (engine.refusal, recorder.recorded) == ("", 2)
    assert values.isfinite().all()


def test_the_rules_refuse_what_a_capture_refuses() -> None:
    with fake_gpu():
        value = torch.ones(3, device=DEVICE)
        with CaptureRules():
            value.sum().add(1).to(torch.bfloat16)
            for broken in (lambda: torch.tensor([1.0], device=DEVICE), lambda: value.cpu(), value.nonzero):
                with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
                    broken()


def test_the_first_error_is_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """Ending a capture that an error has broken raises another error, which says nothing."""

    class Broken(StrictRecorder):
        def record(self, work: Any) -> Any:
            try:
                raise RuntimeError("operation not permitted when stream is capturing\nmore lines")
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")

    engine = small_engine(Broken())
    for _ in range(WARM_UP_RUNS + 1):
        engine.part({"x": torch.ones(2, 4)}, 1.0)
    assert engine.refusal == "operation not permitted when stream is capturing"
    assert caplog.text.count("recording one failed: operation not permitted when stream is capturing") == 1


def small_engine(recorder: Any) -> StepEngine:
    """An engine around a linear model on the CPU."""
    fabric = Fabric(accelerator="cpu", devices=1)
    model: Any = fabric.setup_module(torch.nn.Linear(4, 1))
    optimizer: Any = fabric.setup_optimizers(make_optimizer(model.module, preset("debug")[1], fabric.device))
    return StepEngine(lambda m, x: (m(x["x"]).square().mean(), {}), fabric, model, optimizer, recorder)


def test_a_broken_capture_leaves_the_current_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch leaves the capture's stream the current one where the capture cannot be ended."""
    streams = ["default"]

    class Capture:
        def __init__(self, *_: Any, **options: Any) -> None:
            self.stream = options["stream"]

        def __enter__(self) -> None:
            streams.append(self.stream)

        def __exit__(self, *_: object) -> None:
            raise RuntimeError("capture_end")

    monkeypatch.setattr(torch.cuda, "Stream", lambda: "own")
    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: streams[-1])
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    with pytest.raises(RuntimeError, match="capture_end"):
        CudaRecorder().record(lambda: None)
    assert streams == ["default", "own", "default"]
