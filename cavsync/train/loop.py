"""The training loop: steps, metrics, checkpoints, and a clean shutdown in every case."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from cavsync.data.faces.follow import OpenFinder
from cavsync.errors import CavsyncError, DataError
from cavsync.model.block import Block
from cavsync.model.face_config import FaceConfig
from cavsync.run import RunFolder
from cavsync.train.config import TrainConfig
from cavsync.train.data import Batch, RunData
from cavsync.train.device import make_fabric, sync_batch_norm
from cavsync.train.ema import WeightAverage, moving, over_epochs
from cavsync.train.face_data import FaceTracking, open_face_data
from cavsync.train.graphs.step import with_graphs
from cavsync.train.held_out import held_out_metrics
from cavsync.train.metrics import MetricsLog
from cavsync.train.optimizer import make_optimizer, set_rate
from cavsync.train.ranks import Ranks
from cavsync.train.recipes import AnyModelConfig
from cavsync.train.schedule import learning_rate
from cavsync.train.signals import StopSignals
from cavsync.train.split import RunPaths, note_classes, note_data, note_fitted_positions, write_held_out
from cavsync.train.state import RunState, Training, begin, claim, initial_weights, restore, save, save_best
from cavsync.train.step import StepBatch, TrainingStep, over_ranks
from cavsync.train.tasks.choose import make_task
from cavsync.train.tasks.task import Model, Task
from cavsync.train.validation import Validation

StepReport = Callable[[int, int, float, dict[str, float]], None]


@dataclass(frozen=True)
class RunResult:
    """How a run ended: its progress, last metrics, and the signal that stopped it, if any. `is_main` marks the process
    that reports; `is_early` means that the held-out measurements no longer improved."""

    state: RunState
    metrics: dict[str, float]
    signal_number: int | None = None
    is_main: bool = True
    is_early: bool = False


@dataclass
class Trainer:
    """One training run in the folder `run_dir`.

    `report(step, num_steps, progress, metrics)` is called after every step, `on_load(done, total)` while clips are
    decoded into memory or their faces followed, and `say(sentence)` with what a user must know about how the run
    starts; all in the main process only. `open_finder` opens the face finder of a run that trains the face model.
    """

    model_config: AnyModelConfig
    config: TrainConfig
    run_dir: Path
    report: StepReport = lambda *_: None
    on_load: Callable[[int, int], None] = lambda *_: None
    say: Callable[[str], None] = lambda _: None
    open_finder: OpenFinder | None = None

    @property
    def folder(self) -> RunFolder:
        """The files of `run_dir`."""
        return RunFolder(self.run_dir)

    def run(self, *data_paths: Path, held_out: Sequence[Path] = (), resume: bool = False) -> RunResult:
        """Train to the end of the budget, or to SIGINT/SIGTERM; both leave a checkpoint.

        data_paths, held_out: sources to train on, and to measure on; see `RunPaths`.

        Raises:
            CheckpointError: the run folder is not empty, or does not fit when resuming.
            ConfigError: options that contradict one another or the number of processes.
            DataError: nothing to train on, too many rejects, or a loss that is not finite.
        """
        with StopSignals() as stop, ExitStack() as held:
            fabric = make_fabric(self.config)
            ranks = Ranks.current()
            step = _together(ranks, lambda: begin(self.folder, self.model_config, self.config, resume=resume))
            data = self._open(RunPaths(data_paths, tuple(held_out)), fabric, ranks, stop)
            if data is None:
                return RunResult(RunState(step or 0), {}, stop.received, ranks.is_main)
            task = make_task(self.model_config, self.config, data, self.folder)
            validation = Validation(self.config, task.metric, data.steps_per_epoch)
            validation.require_clips(len(data.held_out_indices), ranks.size)
            _together(ranks, lambda: self._claim(data, step, held))
            wrapped, training, state = self._start(fabric, task, step, data.steps_per_epoch)
            session = Session(self, fabric, ranks, data, task, validation, wrapped, training, stop)
            state, metrics = session.train(state)
        return RunResult(state, metrics, stop.received, ranks.is_main, validation.is_over(state))

    def _open(self, paths: RunPaths, fabric: Fabric, ranks: Ranks, stop: StopSignals) -> RunData | None:
        """Open the data; None where a signal came while faces were followed."""
        config, model = self.config, self.model_config
        on_load = self.on_load if ranks.is_main else lambda *_: None
        if isinstance(model, FaceConfig):
            folder = self.folder.faces if config.face_cache is None else Path(config.face_cache)
            tracking = FaceTracking(self.open_finder, folder, on_load, lambda: stop.received is not None)
            return open_face_data(paths, model, config, ranks, tracking)
        on_device = {"auto": fabric.device.type == "cuda", "device": True, "workers": False}[config.log_mel]
        return RunData.open(paths, model, config, ranks, on_load, log_mel_on_device=on_device)

    def _claim(self, data: RunData, step: int | None, held: ExitStack) -> None:
        """Write what a run's folder holds from the start, once the data has turned out to be usable; lock it."""
        labels = None if data.classes is None else data.classes.labels
        held.enter_context(claim(self.folder, self.model_config, self.config, labels))
        note_data(self.folder, data.fingerprint(), is_new=step is None)
        if labels is not None:
            note_classes(self.folder, labels)
        write_held_out(self.folder, data.held_out_files())

    def _start(
        self, fabric: Fabric, task: Task, step: int | None, steps_per_epoch: float
    ) -> tuple[Any, Training, RunState]:
        """Return the model on its devices, what a checkpoint holds, and the progress so far."""
        torch.manual_seed(self.config.seed)
        model = task.build()
        if step is not None:
            initial_weights(model, self.folder, step)
        elif (changes := task.initialise(model)) and Ranks.current().is_main:
            note_fitted_positions(self.folder, changes)
            done = "; ".join(f"{name}: {how}" for name, how in changes.items())
            self.say(f"positions of '{self.config.init_from}' were made to fit ({done})")
        task.prepare(model)
        sync_batch_norm(model, fabric)
        prepare(model, self.config)
        # FSDP replaces the parameters, so the optimizer comes after it.
        wrapped = fabric.setup_module(model)
        optimizer = make_optimizer(model, self.config, fabric.device)
        average = _average(model, self.config, steps_per_epoch)
        training = Training(model, optimizer, average, task.make_teacher(model, fabric))
        state = RunState() if step is None else restore(training, self.folder, step)
        return wrapped, training, state


@dataclass
class Session:
    """One process's part of a run, from its start or a checkpoint to its end or the next interruption."""

    trainer: Trainer
    fabric: Fabric
    ranks: Ranks
    data: RunData
    task: Task
    validation: Validation
    model: Any
    training: Training
    stop: StopSignals
    _saved: RunState | None = None
    _measured: tuple[int, dict[str, float]] = (0, {})

    def train(self, state: RunState) -> tuple[RunState, dict[str, float]]:
        """Take the remaining steps, write a last checkpoint, measure the held-out clips; return the last metrics."""
        self._saved = state if state.step else None
        with ExitStack() as opened:
            log = opened.enter_context(MetricsLog(self.trainer.folder, state.step)) if self.ranks.is_main else None
            state, metrics = self._steps(state, log)
            self._save(state)
            # A signal may reach one process only, or arrive only now.
            if not self.ranks.any(self.stop.received is not None):
                metrics |= self._measure(state.step, log)
                if self.trainer.config.validates and state.validated_step != state.step:
                    state = self._judge(state, log)
                    self._save(state)
        return state, metrics | self.validation.summary(state)

    def _validate(self, state: RunState, log: MetricsLog | None) -> RunState:
        """Measure the held-out clips where that is due; a run that is being stopped does so when it is resumed."""
        if not self.validation.is_due(state) or self.ranks.any(self.stop.received is not None):
            return state
        return self._judge(state, log)

    def _judge(self, state: RunState, log: MetricsLog | None) -> RunState:
        state = self.validation.judge(state, self._measure(state.step, log))
        if state.best_step == state.step:
            save_best(self.training, self.trainer.folder, state, self.ranks)
        return state

    def _measure(self, step: int, log: MetricsLog | None) -> dict[str, float]:
        """Measure the held-out clips, once per step, and log it."""
        if self._measured[0] != step:
            seed, average = self.trainer.config.seed, self.training.average
            found = held_out_metrics(self.model, self.data, self.task, seed, self.fabric, self.ranks, average)
            if log is not None and found:
                log.write(step, found)
            self._measured = step, found
        return self._measured[1]

    def _steps(self, state: RunState, log: MetricsLog | None) -> tuple[RunState, dict[str, float]]:
        config = self.trainer.config
        num_steps = config.max_steps or math.ceil(config.epochs * self.data.steps_per_epoch)
        begin_seconds = time.monotonic() - state.elapsed_seconds
        optimizer: Any = self.fabric.setup_optimizers(self.training.optimizer)
        step = with_graphs(
            TrainingStep(self.fabric, self.ranks, self.task, config, self.trainer.folder, self.model, optimizer)
        )
        metrics: dict[str, float] = {}
        has_learned = False
        self.model.train()
        batches: Iterator[Batch] | None = None
        state = self._validate(state, log)
        while state.step < num_steps and not self.validation.is_over(state):
            if self.task.revise(self.training.model, state.step, num_steps, self.ranks) or batches is None:
                batches = iter(self.data.training_batches(state.step, num_steps))
            batch = self._next_batch(batches, state.step, num_steps, begin_seconds)
            if self.stop.received is not None or batch.progress >= 1.0:
                break
            rate = self._set_rate(optimizer, batch)
            found = step.take(batch)
            has_learned = has_learned or bool(found)
            state = replace(state, step=state.step + 1, elapsed_seconds=time.monotonic() - begin_seconds)
            if found:
                self.training.follow(state.step, batch.progress)
            if state.step % config.log_every_steps == 0 or state.step == num_steps:
                metrics = over_ranks(found, self.ranks) | {"learning_rate": rate, **self._totals(batch, state)}
                if log is not None:
                    log.write(state.step, metrics)
            elif found:
                metrics |= found[-1][0]
            if self.ranks.is_main:
                self.trainer.report(state.step, num_steps, max(state.step / num_steps, batch.progress), metrics)
            state = self._validate(state, log)
            if state.step % config.checkpoint_every_steps == 0 and state.step < num_steps:
                self._save(state)
        if metrics and not has_learned:
            raise DataError(f"No batch could be made ({dict(self.data.rejects.reasons)}): see `cavsync data check`")
        return state, metrics

    def _next_batch(self, batches: Iterator[Batch], step: int, num_steps: int, begin_seconds: float) -> StepBatch:
        """Load the parts of a step, and agree with the other processes on what it holds and on progress."""
        config = self.trainer.config
        parts = [next(batches) for _ in range(config.gradient_accumulation)]
        for part in parts:
            self.data.note_rejects(part)
        budget_seconds = math.inf if config.max_minutes is None else config.max_minutes * 60
        elapsed_seconds = time.monotonic() - begin_seconds
        progress = max(step / num_steps, elapsed_seconds / budget_seconds)
        counts, progress = self._agree([len(part) for part in parts], progress)
        return StepBatch(step, progress, parts, counts)

    def _agree(self, num_pairs: list[int], progress: float) -> tuple[list[list[float]], float]:
        """Return the pairs of every process by part, and the main process's progress; share signals and rejects.

        Raises DataError where too many clips are unusable.
        """
        config = self.trainer.config
        fresh = self.data.rejects.pop_changed()
        told = self.ranks.gather([progress, float(self.stop.received or 0), float(fresh), *map(float, num_pairs)])
        signals = [int(row[1]) for row in told if row[1]]
        if signals and self.stop.received is None:
            self.stop.received = signals[0]
        if any(row[2] for row in told):
            for rejects in self.ranks.gather_objects(self.data.rejects):
                self.data.rejects.merge(rejects)
        if self.data.too_many_rejects(config.max_rejected_share):
            raise DataError(self.data.rejects_sentence(config.max_rejected_share))
        return [row[3:] for row in told], told[0][0]

    def _set_rate(self, optimizer: Any, batch: StepBatch) -> float:
        """Give the optimizer the learning rate of a step; return it, before the factor of a parameter group."""
        steps_per_epoch = self.data.steps_per_epoch
        rate = learning_rate(self.trainer.config, batch.step, steps_per_epoch=steps_per_epoch, progress=batch.progress)
        set_rate(optimizer, rate)
        return rate

    def _totals(self, batch: StepBatch, state: RunState) -> dict[str, float]:
        return {
            "pairs": sum(sum(row) for row in batch.counts),
            "elapsed_seconds": state.elapsed_seconds,
            "rejected_clips": float(len(self.data.rejects)),
        }

    def _save(self, state: RunState) -> None:
        if self._saved == state:
            return
        self._saved = state
        save(self.training, self.trainer.folder, state, self.trainer.config, self.ranks)


def prepare(model: Model, config: TrainConfig) -> None:
    """Apply options that change speed or memory but not the result; call it before the model is wrapped."""
    if config.activation_checkpointing:
        for module in model.modules():
            if isinstance(module, Block):
                module.recompute = True
    if config.compile:
        model.compile()


def _average(model: Model, config: TrainConfig, steps_per_epoch: float) -> WeightAverage | None:
    if config.average_from_epoch:
        return WeightAverage(model, over_epochs(config.average_from_epoch, steps_per_epoch))
    return WeightAverage(model, moving(config.ema_decay)) if config.ema_decay else None


def _together(ranks: Ranks, action: Callable[[], Any]) -> Any:
    """Call `action` in the main process; return its result, or raise its CavsyncError, in every process."""
    result: Any = None
    error: CavsyncError | None = None
    if ranks.is_main:
        try:
            result = action()
        except CavsyncError as raised:
            error = raised
    result, error = ranks.from_main((result, error))
    if error is not None:
        raise error
    return result
