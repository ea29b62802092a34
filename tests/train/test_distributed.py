"""Several processes train what one process trains, and survive the loss of a node."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from waiting import PATIENCE_SECONDS

from cavsync.model.checkpoint import load_model, model_of
from cavsync.run import Run, RunFolder

pytestmark = pytest.mark.slow

RUN = ("-m", "torch.distributed.run")
CLI = ("-c", "from cavsync.cli.main import main; main()")
BETA = 0.95
QUICK = ("precision=32-true", "accelerator=cpu", "workers=0", "log_every_steps=1", "held_out_share=0.25")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment() -> dict[str, str]:
    """One thread each: the processes share two cores."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def arguments(clips: Path, run_dir: Path, *options: str, preset: str = "debug") -> list[str]:
    """Of `cavsync train`."""
    sets = [part for option in (*QUICK, *options) for part in ("--set", option)]
    return ["train", "--preset", preset, "--data", str(clips), "--out", str(run_dir), "--resume", *sets]


def train(clips: Path, run_dir: Path, *options: str, processes: int = 1, preset: str = "debug") -> None:
    """Run the command in its own processes; Fabric starts them."""
    command = [sys.executable, str(Path(sys.executable).with_name("cavsync"))]
    command += arguments(clips, run_dir, f"devices={processes}", *options, preset=preset)
    subprocess.run(command, check=True, env=environment(), timeout=PATIENCE_SECONDS, capture_output=True)


def losses(run_dir: Path) -> dict[int, float]:
    """Loss by step."""
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def first_gradients(run_dir: Path) -> dict[str, torch.Tensor]:
    """The gradients of step 1: Adam's first moment after it is (1 - beta) times the gradient."""
    state = torch.load(RunFolder(run_dir).checkpoint(1).optimizer)
    return {name: values["exp_avg"] / (1 - BETA) for name, values in state.items()}


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_agree_with_one(strategy: str, clips: Path, tmp_path: Path) -> None:
    """The same global batch, contrast over all of it, gives the same losses and gradients; in parts as well."""
    options = ("contrast_loss_weight=1.0", "weight_decay=0.0", "clip_gradient_norm=1.0", "ema_decay=0.9", "seed=5")
    options += ("max_steps=4", "checkpoint_every_steps=1", "keep_checkpoints=9", "embed_dim=48", "decoder_embed_dim=32")
    options += ("learning_rate=1e-4",)
    train(clips, tmp_path / "one", *options)
    train(clips, tmp_path / "two", *options, f"strategy={strategy}", processes=2)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert sorted(one) == [1, 2, 3, 4]
    assert two == pytest.approx(one, rel=1e-5)
    expected, got = first_gradients(tmp_path / "one"), first_gradients(tmp_path / "two")
    # DDP fills in zeros where one process gives a parameter no gradient.
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-5, atol=1e-5, msg=name)
    assert all(not got[name].any() for name in got.keys() - expected.keys())
    whole, parts = load_model(tmp_path / "one"), load_model(tmp_path / "two")
    for (name, value), other in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        torch.testing.assert_close(other, value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_agree_with_one_on_a_teacher(strategy: str, clips: Path, tmp_path: Path) -> None:
    """Two paths, masks that a teacher ranks, distillation, cut after three of four steps: the same losses, gradients
    and teacher."""
    options = ("contrast_mask=teacher", "teacher_decay=0.5", "distil_loss_weight=0.5", "contrast_loss_weight=0.5")
    options += ("checkpoint_every_steps=1", "keep_checkpoints=9", "learning_rate=1e-4", "weight_decay=0.0")
    options += ("gradient_accumulation=2", "validate_every_steps=3")
    train(clips, tmp_path / "one", *options, "max_steps=4")
    for stop in (3, 4):
        train(clips, tmp_path / "two", *options, f"max_steps={stop}", f"strategy={strategy}", processes=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    expected, got = first_gradients(tmp_path / "one"), first_gradients(tmp_path / "two")
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-5, atol=1e-5, msg=name)
    one, two = (load_file(RunFolder(tmp_path / name).checkpoint(4).teacher) for name in ("one", "two"))
    assert one.keys() == two.keys()
    # A key's bias changes no softmax: its gradient is rounding, which Adam blows up to a step.
    for name, value in one.items():
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("preset", ["finetune-audioset-20k", "probe"])
def test_two_processes_classify_as_one(preset: str, clips: Path, tmp_path: Path) -> None:
    """Fine-tuning with sharded weights, probing with copies: the same losses, accuracies and weights."""
    train(clips, tmp_path / "start", "max_steps=1")
    options = (f"init_from={tmp_path / 'start'}", "max_steps=3", "batch_clips=4", "learning_rate=1e-4")
    strategy = "fsdp" if preset.startswith("finetune") else "ddp"
    train(clips, tmp_path / "one", *options, preset=preset)
    train(clips, tmp_path / "two", *options, f"strategy={strategy}", processes=2, preset=preset)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    one, two = (model_of(Run.open(tmp_path / name).at(None), averaged=False).state_dict() for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_a_run_changes_its_number_of_processes(clips: Path, tmp_path: Path) -> None:
    """Begun by one process, continued by two with sharded weights, ended by one: the same losses."""
    train(clips, tmp_path / "whole", "max_steps=6", "learning_rate=1e-4")
    train(clips, tmp_path / "parts", "max_steps=2", "learning_rate=1e-4")
    train(clips, tmp_path / "parts", "max_steps=4", "learning_rate=1e-4", "strategy=fsdp", processes=2)
    train(clips, tmp_path / "parts", "max_steps=6", "learning_rate=1e-4")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


class Node:
    """One node of two, with torchrun's agent and one worker."""

    def __init__(self, number: int, clips: Path, run_dir: Path, port: int, log: Path) -> None:
        agent = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3", "--rdzv-backend", "c10d"]
        agent += ["--rdzv-id", "cavsync-test", "--rdzv-endpoint", f"127.0.0.1:{port}", "--monitor-interval", "0.2"]
        # The first node keeps the meeting point; it is the other one that is lost.
        meeting = f"is_host={int(number == 0)},keep_alive_interval=1,keep_alive_max_attempt=3"
        agent += ["--rdzv-conf", meeting]
        program = Path(sys.executable).with_name("cavsync")
        command = [sys.executable, *RUN, *agent, str(program)]
        command += arguments(clips, run_dir, "max_steps=300", "checkpoint_every_steps=20", "learning_rate=1e-4")
        self.log = log
        # A session of its own: killing the group is the loss of the whole node.
        # A node that comes back finds the meeting point only if every round writes it anew (PyTorch 2.11).
        variables = environment() | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        with log.open("ab") as out:
            self.process = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True)

    def kill(self) -> None:
        """Pull the plug."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> int:
        """Exit status."""
        return self.process.wait(timeout=PATIENCE_SECONDS)


def wait_for_step(run_dir: Path, step: int, nodes: list[Node]) -> None:
    """Until the run has logged a step."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (run_dir / "metrics.jsonl").exists() or max(losses(run_dir), default=0) < step:
        assert time.monotonic() < deadline, "\n".join(node.log.read_text() for node in nodes)
        assert all(node.process.poll() is None for node in nodes), "\n".join(node.log.read_text() for node in nodes)
        time.sleep(0.2)


def test_two_nodes_survive_the_loss_of_one(clips: Path, tmp_path: Path) -> None:
    """Two torchrun nodes train together; one is killed, comes back, and the run ends as if nothing had happened."""
    port = free_port()
    run_dir = tmp_path / "run"
    nodes = [Node(number, clips, run_dir, port, tmp_path / f"node{number}.log") for number in range(2)]
    try:
        wait_for_step(run_dir, 30, nodes)
        nodes[1].kill()
        nodes[1] = Node(1, clips, run_dir, port, tmp_path / "node1.log")
        assert [node.wait() for node in nodes] == [0, 0], "\n".join(node.log.read_text() for node in nodes)
    finally:
        for node in nodes:
            if node.process.poll() is None:
                node.kill()
    train(clips, tmp_path / "whole", "max_steps=300", "learning_rate=1e-4")
    assert losses(run_dir) == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_what_teaches_time_trains_on_several_processes(strategy: str, clips: Path, tmp_path: Path) -> None:
    """Negatives of the same clip only, a learned temperature, an average, held-out clips: all as in one process."""
    options = ("negatives=clip", "instants_per_clip=4", "learnable_temperature=true", "bidirectional_contrast=true")
    options += ("contrast_loss_weight=1.0", "mae_loss_weight=0.0", "has_decoder=false", "ema_decay=0.5", "max_steps=2")
    options += ("learning_rate=1e-5", "gradient_accumulation=2", "weight_decay=0.0", "checkpoint_every_steps=1")
    options += ("validate_every_steps=1",)
    train(clips, tmp_path / "one", *options)
    train(clips, tmp_path / "two", *options, f"strategy={strategy}", processes=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    best = [json.loads(RunFolder(tmp_path / name).best.state.read_text()) for name in ("one", "two")]
    assert best[1]["best_step"] == best[0]["best_step"] > 0
    expected, got = first_gradients(tmp_path / "one"), first_gradients(tmp_path / "two")
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-5, atol=1e-5, msg=name)
    held_out = [held_out_metrics(tmp_path / name) for name in ("one", "two")]
    assert held_out[1] == pytest.approx(held_out[0], rel=1e-4)


def held_out_metrics(run_dir: Path) -> dict[str, float]:
    """What the last line of the log says."""
    last = json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])
    return {name: last[name] for name in ("held_out_loss", "held_out_accuracy")}
