"""Options, sizes, costs, schedule and estimated time of a run, computed from its configuration without starting it.

Sizes, operations and schedules are exact; memory leaves out activations; times assume a share of the vendors' peak
rates.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from cavsync.data.order import batch_size
from cavsync.errors import ConfigError
from cavsync.model import ModelConfig
from cavsync.model.face_config import FaceConfig
from cavsync.model.flops import ParameterCount, Part, count_parameters
from cavsync.train.config import TrainConfig
from cavsync.train.costs import Costs, costs_of
from cavsync.train.muon import orthogonal_size
from cavsync.train.recipes import AnyModelConfig
from cavsync.train.schedule import learning_rate

PEAK_TFLOPS = {"A100": 312.0, "H100 SXM": 989.0, "H200": 989.0, "L40S": 362.0, "RTX 4090": 165.0, "B200": 2250.0}
"""Dense bf16 rates with float32 sums, from the vendor's data sheets, rounded."""

ASSUMED_UTILISATION = 0.35
"""Share of the peak that a ViT-B reaches when it never waits for data; decoding may be far slower."""

VGGSOUND_CLIPS = 183_727
"""Training clips of VGGSound in CAV-MAE's log: the size of the data set that is assumed unless one is given."""

CAVEAT = (
    "An estimate from arithmetic, not a measurement: it counts matrix products at an assumed share of the peak, and "
    "neither decoding, nor communication, nor the memory of activations."
)

FLOAT32_BYTES = 4
ADAM_MOMENTS = 2
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Option:
    """One option of the model, the training or the augmentation, as plain JSON values."""

    name: str
    value: Any
    default: Any
    differs: bool
    meaning: str


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU that do not depend on the batch."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    teacher: int
    total: int


@dataclass(frozen=True)
class Epoch:
    """Learning rates at an epoch's first and last step; epochs count from 1, steps from 0."""

    epoch: int
    first_step: int
    first_rate: float
    last_rate: float


@dataclass(frozen=True)
class Schedule:
    """The steps that a data set of `clips` gives; `clips` = training_clips + held_out_clips."""

    clips: int
    training_clips: int
    held_out_clips: int
    batch_clips: int
    pairs_per_step: int
    steps_per_epoch: float
    steps: int
    pairs: int
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class GpuTime:
    """Estimated hours of the run on the given number of GPUs of one kind."""

    gpu: str
    peak_tflops: float
    hours: float


@dataclass(frozen=True)
class Explanation:
    """The whole explanation; `to_dict` gives plain JSON values."""

    preset: str
    model: tuple[Option, ...]
    train: tuple[Option, ...]
    parameters: dict[Part, ParameterCount]
    costs: Costs
    memory: Memory
    schedule: Schedule
    gpus: int
    utilisation: float
    times: tuple[GpuTime, ...]
    notes: tuple[str, ...]
    caveat: str = CAVEAT

    def to_dict(self) -> dict[str, Any]:
        """Return the same as dictionaries, lists, numbers and strings."""
        return asdict(self)


def explain(
    model: AnyModelConfig,
    train: TrainConfig,
    gpus: int | None = None,
    *,
    clips: int = VGGSOUND_CLIPS,
    utilisation: float = ASSUMED_UTILISATION,
) -> Explanation:
    """Explain training on `gpus` GPUs (None: as many processes as configured) with a data set of `clips` clips.

    Raises:
        ConfigError: a number out of range, a data set too small for the processes and parts of a batch, a face model.
    """
    if isinstance(model, FaceConfig):
        raise ConfigError("The sizes and costs of a face model are not explained: it trains in minutes, start the run.")
    gpus = train.devices * train.nodes if gpus is None else gpus
    if gpus < 1 or clips < 1 or not 0.0 < utilisation <= 1.0:
        raise ConfigError(
            f"{gpus} GPUs, {clips} clips and a utilisation of {utilisation:g} were given, expected at least one of "
            "each and a share above 0 up to 1: change them."
        )
    parameters = count_parameters(model)
    costs, schedule = costs_of(model, train), _schedule(train, gpus, clips)
    operations = schedule.pairs * costs.training
    return Explanation(
        preset=train.preset,
        model=_options(model),
        train=_options(train),
        parameters=parameters,
        costs=costs,
        memory=_memory(parameters, model, train, gpus),
        schedule=schedule,
        gpus=gpus,
        utilisation=utilisation,
        times=tuple(
            GpuTime(name, peak, operations / (gpus * peak * 1e12 * utilisation) / SECONDS_PER_HOUR)
            for name, peak in PEAK_TFLOPS.items()
        ),
        notes=tuple(_notes(train, gpus, schedule)),
    )


def _options(record: BaseModel) -> tuple[Option, ...]:
    """Return all options with their defaults; those of nested records under their own names, as `--set` takes them."""
    defaults = type(record)().model_dump(mode="json")
    found: list[Option] = []
    for name, value in record.model_dump(mode="json").items():
        inner = getattr(record, name)
        if isinstance(inner, BaseModel):
            found += _options(inner)
        else:
            meaning = type(record).model_fields[name].description or ""
            found.append(Option(name, value, defaults[name], value != defaults[name], " ".join(meaning.split())))
    return tuple(found)


def _memory(parameters: dict[Part, ParameterCount], model: ModelConfig, train: TrainConfig, gpus: int) -> Memory:
    total = sum(count.total for count in parameters.values())
    trained = sum(count.trained for count in parameters.values())
    if train.classify is not None and train.classify.freeze_encoder:
        trained = 0
    shards = gpus if train.strategy == "fsdp" else 1
    weights, gradients = (math.ceil(FLOAT32_BYTES * count / shards) for count in (total, trained))
    # Muon keeps one moment of a matrix.
    once = orthogonal_size(model) if train.optimizer == "muon" and trained else 0
    moments = ADAM_MOMENTS * gradients - FLOAT32_BYTES * once
    average = weights if train.ema_decay or train.average_from_epoch else 0
    encoder = sum(count.total for part, count in parameters.items() if part != "decoder")
    teacher = 0 if train.teacher_decay is None else math.ceil(FLOAT32_BYTES * encoder / shards)
    sizes = weights, gradients, moments, average, teacher
    return Memory(*sizes, total=sum(sizes))


def _schedule(train: TrainConfig, gpus: int, clips: int) -> Schedule:
    held_out = round(clips * train.held_out_share)
    if train.held_out_share > 0 and clips > 1:
        held_out = max(1, held_out)
    training, divisor = clips - held_out, gpus * train.gradient_accumulation
    batch = batch_size(training, train.batch_clips, divisor)
    if not batch:
        raise ConfigError(
            f"{clips} clips leave {training} to train on, but {gpus} GPUs in {train.gradient_accumulation} parts each "
            "need at least one each: state more clips, or fewer GPUs."
        )
    per_epoch = training / batch
    steps = train.max_steps or math.ceil(train.epochs * per_epoch)
    pairs = batch * train.instants_per_clip
    return Schedule(
        clips=clips,
        training_clips=training,
        held_out_clips=held_out,
        batch_clips=batch,
        pairs_per_step=pairs,
        steps_per_epoch=per_epoch,
        steps=steps,
        pairs=steps * pairs,
        epochs=_epochs(train, per_epoch, steps),
    )


def _epochs(train: TrainConfig, steps_per_epoch: float, steps: int) -> tuple[Epoch, ...]:
    """Return every epoch that begins within the run; it begins with the first step after the end of the one before."""

    def first_step(epoch: int) -> int:
        return min(steps, math.ceil((epoch - 1) * steps_per_epoch))

    def rate(step: int) -> float:
        return learning_rate(train, step, steps_per_epoch=steps_per_epoch, progress=step / steps)

    return tuple(
        Epoch(epoch, first_step(epoch), rate(first_step(epoch)), rate(first_step(epoch + 1) - 1))
        for epoch in range(1, math.ceil(steps / steps_per_epoch) + 1)
        if first_step(epoch) < first_step(epoch + 1)
    )


def _notes(train: TrainConfig, gpus: int, schedule: Schedule) -> list[str]:
    """Return sentences about what the numbers do not show."""
    divisor = gpus * train.gradient_accumulation
    start = train.init_from or train.vision_mae
    notes = [f"Starts from '{start}'." if start else "Starts from random weights: init_from and vision_mae are unset."]
    if train.classify is not None:
        notes.append("Sizes, memory and operations leave out the head, which grows with the number of classes.")
        if train.classify.takes_clips:
            notes.append(
                f"The head {train.classify.head} takes {train.instants_per_clip} frames of a clip together, so the run "
                "can be evaluated, but not exported: for that pass --set head=linear or "
                "head=attention, and --set instants_per_clip=1."
            )
    if train.batch_clips % divisor:
        notes.append(
            f"batch_clips {train.batch_clips} cannot be divided among {gpus} GPUs: a multiple of {divisor} can."
        )
    if (
        train.gradient_accumulation > 1
        and train.negatives == "batch"
        and train.contrast_loss_weight
        and not train.classify
    ):
        part = schedule.pairs_per_step // train.gradient_accumulation
        notes.append(f"Contrast sees {part} pairs at a time: gradient_accumulation splits the negatives.")
    if train.max_minutes is not None:
        notes.append(f"The run stops after {train.max_minutes:g} minutes, and a cosine schedule ends there.")
    if train.precision == "32-true":
        notes.append("precision is 32-true, but the rates are those of bf16: such a run takes several times as long.")
    return notes
