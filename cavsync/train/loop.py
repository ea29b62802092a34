"""The training loop: steps, metrics, checkpoints, and a clean end whatever ends it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric

from cavsync.data.batches import PairBatch
from cavsync.errors import DataError
from cavsync.model import CAVMAESync, ModelConfig, PretrainOutput
from cavsync.model.block import Block
from cavsync.model.vision_mae import initialise_from_vision_mae
from cavsync.train.config import TrainConfig
from cavsync.train.data import RunData
from cavsync.train.device import make_fabric
from cavsync.train.metrics import MetricsLog
from cavsync.train.schedule import learning_rate
from cavsync.train.state import RunState, require_new, restore, save

StepReport = Callable[[int, int, float, dict[str, float]], None]


@dataclass(frozen=True)
class RunResult:
    """How a run ended: its position, the last metrics, and the signal that stopped it early, if one did."""

    state: RunState
    metrics: dict[str, float]
    signal_number: int | None = None


@dataclass
class Trainer:
    """One run. `report(step, num_steps, progress, metrics)` is called after every step, `on_load(done, total)` while
    clips are decoded into memory."""

    model_config: ModelConfig
    config: TrainConfig
    run_dir: Path
    report: StepReport = lambda *_: None
    on_load: Callable[[int, int], None] = lambda *_: None
    _stop_signal: int | None = field(default=None, init=False)

    def run(self, data_path: Path, *, resume: bool = False) -> RunResult:
        """Train to the end of the budget, or to SIGINT/SIGTERM; both leave a checkpoint.

        Raises:
            CheckpointError: the run folder is not empty, or does not fit when resuming.
            DataError: nothing to train on, or a loss that is not finite.
        """
        with self._stoppable():
            fabric = make_fabric(self.config)
            model, optimizer_state, state = self._start(resume)
            data = RunData.open(data_path, self.run_dir, self.model_config, self.config, self.on_load)
            prepare(model, self.config)
            optimizer = make_optimizer(model, self.config, fabric.device)
            wrapped, optimizer = fabric.setup(model, optimizer)
            if optimizer_state is not None:
                optimizer.load_state_dict(optimizer_state)
            with MetricsLog(self.run_dir) as log:
                state, metrics = self._steps(fabric, wrapped, optimizer, data, state, log)
                save(model, optimizer, self.run_dir, state, self.config)
                if self._stop_signal is None:
                    metrics |= held_out_metrics(wrapped, data, self.config, fabric)
                    log.write(state.step, metrics)
        return RunResult(state, metrics, self._stop_signal)

    def _start(self, resume: bool) -> tuple[CAVMAESync, dict[str, Any] | None, RunState]:
        torch.manual_seed(self.config.seed)
        if resume and (self.run_dir / "config.json").exists():
            return restore(self.run_dir, self.model_config, self.config)
        require_new(self.run_dir)
        model = CAVMAESync(self.model_config)
        if self.config.vision_mae is not None:
            initialise_from_vision_mae(model, self.config.vision_mae)
        return model, None, RunState()

    def _steps(
        self, fabric: Fabric, model: Any, optimizer: Any, data: RunData, state: RunState, log: MetricsLog
    ) -> tuple[RunState, dict[str, float]]:
        num_steps = self.config.max_steps or self.config.epochs * data.steps_per_epoch
        budget_seconds = math.inf if self.config.max_minutes is None else self.config.max_minutes * 60
        begin = time.monotonic() - state.elapsed_seconds
        metrics: dict[str, float] = {}
        first_step = state.step
        model.train()
        for batch in data.training_batches(state.step, num_steps):
            elapsed_seconds = time.monotonic() - begin
            progress = max(state.step / num_steps, elapsed_seconds / budget_seconds)
            if self._stop_signal is not None or progress >= 1.0:
                break
            data.note_rejects(batch)
            rate = learning_rate(self.config, state.step, steps_per_epoch=data.steps_per_epoch, progress=progress)
            if len(batch):
                output = self._step(fabric, model, optimizer, batch, state.step, rate)
                metrics |= describe(output) | {"learning_rate": rate, "pairs": float(len(batch))}
            state = RunState(state.step + 1, time.monotonic() - begin)
            metrics |= {"elapsed_seconds": state.elapsed_seconds, "rejected_clips": float(len(data.rejects))}
            if state.step % self.config.log_every_steps == 0:
                log.write(state.step, metrics)
            self.report(state.step, num_steps, max(state.step / num_steps, progress), metrics)
            if state.step % self.config.checkpoint_every_steps == 0 and state.step < num_steps:
                save(model.module, optimizer, self.run_dir, state, self.config)
        if state.step > first_step and "loss" not in metrics:
            raise DataError(f"No batch could be made ({dict(data.rejects.reasons)}): see `cavsync data check`")
        return state, metrics

    def _step(
        self, fabric: Fabric, model: Any, optimizer: Any, batch: PairBatch, step: int, rate: float
    ) -> PretrainOutput:
        for group in optimizer.param_groups:
            group["lr"] = rate
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        output = forward(model, batch, self.config, fabric.device, generator)
        if not torch.isfinite(output.loss):
            raise DataError(
                f"The loss of step {step} is not finite, its batch held {', '.join(batch.names)}: lower learning_rate, "
                "or resume from the last checkpoint without these clips"
            )
        optimizer.zero_grad()
        fabric.backward(output.loss)
        if self.config.clip_gradient_norm:
            fabric.clip_gradients(model, optimizer, max_norm=self.config.clip_gradient_norm)
        optimizer.step()
        return output

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the loop after the step under way; a second one acts as usual."""

        def stop(number: int, _frame: FrameType | None) -> None:
            self._stop_signal = number
            signal.signal(number, previous[number])

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous: dict[int, Any]
        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def prepare(model: CAVMAESync, config: TrainConfig) -> None:
    """Compile the model and switch on activation checkpointing, as configured; names of parameters stay."""
    if config.activation_checkpointing:
        for module in model.modules():
            if isinstance(module, Block):
                module.recompute = True
    if config.compile:
        model.compile()


def make_optimizer(model: CAVMAESync, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """Adam as CAV-MAE uses it (decay on everything), or AdamW with decay on matrices only."""
    rest: dict[str, Any] = {"lr": config.learning_rate, "betas": config.betas, "fused": device.type in ("cpu", "cuda")}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adam":
        return torch.optim.Adam(trained, weight_decay=config.weight_decay, **rest)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, **rest)


def forward(
    model: Any, batch: PairBatch, config: TrainConfig, device: torch.device, generator: torch.Generator
) -> PretrainOutput:
    """One pretraining forward of a batch."""
    output: PretrainOutput = model(
        batch.normalised_features(device),
        batch.normalised_frames(device),
        config.mask_ratio_audio,
        config.mask_ratio_visual,
        config.mae_loss_weight,
        config.contrast_loss_weight,
        contrastive_ignore=batch.ignored_pairs(config.guard_seconds, config.negatives == "clip", device),
        generator=generator,
    )
    return output


def describe(output: PretrainOutput) -> dict[str, float]:
    """The scalars of a step."""
    names = ("loss", "loss_mae", "loss_mae_audio", "loss_mae_visual", "loss_contrastive", "contrastive_accuracy")
    return {name: float(getattr(output, name).detach()) for name in (*names, "temperature")}


@torch.no_grad()
def held_out_metrics(model: Any, data: RunData, config: TrainConfig, fabric: Fabric) -> dict[str, float]:
    """Mean loss and contrastive accuracy over the held-out clips, without augmentation."""
    model.eval()
    losses, accuracies, weights = [], [], []
    for batch in data.held_out_batches():
        data.note_rejects(batch)
        if len(batch):
            generator = torch.Generator().manual_seed(config.seed)
            output = forward(model, batch, config, fabric.device, generator)
            losses.append(float(output.loss))
            accuracies.append(float(output.contrastive_accuracy))
            weights.append(len(batch))
    model.train()
    if not weights:
        return {}
    total = sum(weights)
    return {
        "held_out_loss": sum(a * w for a, w in zip(losses, weights, strict=True)) / total,
        "held_out_accuracy": sum(a * w for a, w in zip(accuracies, weights, strict=True)) / total,
    }
