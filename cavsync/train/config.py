"""Training options: one flat, typed, immutable record that is stored in the run's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from cavsync.data.augment.config import Augmentation
from cavsync.data.sampling import SegmentRule
from cavsync.errors import ConfigError
from cavsync.media.resample import ChannelRule
from cavsync.model import ModelConfig
from cavsync.model.face_config import FaceConfig
from cavsync.train.classify_config import ClassifyConfig
from cavsync.train.face_config import FaceTraining

AnyModel = TypeVar("AnyModel", ModelConfig, FaceConfig, ModelConfig | FaceConfig)
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0.0)]
ShareBelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]


DEFAULT_CONTRAST_MASK_RATIO = 0.5
PARTS = frozenset(("augmentation", "classify", "face", "face_augmentation"))
# Changes of whole frames, and one that moves the audio, have no meaning for face tracks.
NOT_FOR_FACES = ("crop_area", "colour", "mixup", "time_shift_frames")


def _is_unset(value: Any) -> bool:
    """Options of the face model are written only where it is trained: other configurations stay as they were."""
    return value is None


class TrainConfig(BaseModel):
    """Options of a run. Raises ConfigError with one sentence for any bad value."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: str = "debug"
    """Name of the preset that the options come from."""
    seed: Count = 0
    """Seed of all random numbers: initial weights, order of the clips, augmentation."""

    max_steps: Positive | None = None
    """Optimiser steps; None trains for `epochs`."""
    max_minutes: Annotated[float, Field(gt=0.0)] | None = None
    """Wall-clock budget; the schedule then follows whichever of steps and time is further along."""
    epochs: Positive = 25
    """Passes over the training clips, where `max_steps` is not set."""
    batch_clips: Positive = 48
    """Clips per optimiser step, over all processes and parts together."""
    instants_per_clip: Positive = 1
    """Pairs drawn from each clip; if several, other moments of the clip are negatives, which teaches timing."""
    instant_spacing_seconds: NonNegative = 0.0
    """Time between neighbouring instants of a clip; 0 spreads them at random over the whole clip."""
    guard_seconds: NonNegative = 0.0
    """Instants of one clip closer than this are not negatives of each other."""
    guard_start_seconds: NonNegative = 0.0
    """Curriculum from distant to near negatives: the guard begins with this value and shrinks to `guard_seconds`."""
    curriculum_share: ShareBelowOne = 0.0
    """Share of the run over which the guard shrinks."""
    negatives: Literal["batch", "clip"] = "batch"
    """Negatives are all other pairs of the batch, or other moments of the same clip only."""
    pad_segments: bool = True
    """Shift and pad segments that reach beyond the audio, as upstream does; False leaves such instants out."""
    frames_per_clip: Positive = 10
    """Frames that a CAV-MAE JSON data set must hold per clip."""
    segments: SegmentRule = "by-time"
    """Audio segments are centred on their frame's time, or found by its number among `frames_per_clip` evenly spaced
    frames as in the public code of CAV-MAE and CAV-MAE Sync ("published"), for comparisons with published tables."""
    channels: ChannelRule | None = None
    """How several channels of audio become one: "mix", or "first" as in the published preparation; None mixes those of
    video files and takes packed audio as it is."""
    repeats: tuple[Positive, ...] = ()
    """How often an epoch visits the clips of each data source; empty visits all of them once."""
    augmentation: Augmentation = Augmentation()
    load_size: Positive | None = None
    """Side in pixels at which frames are decoded, for crops without upscaling; None decodes at the model's img_size."""
    held_out_share: ShareBelowOne = 0.1
    """Share of the clips that is not trained on: they measure the run and calibrate the exported bundle."""

    optimizer: Literal["adam", "adamw", "muon"] = "adam"
    """Adam with decay as part of the gradient, as upstream; AdamW, with decoupled decay; or Muon for the weights of
    linear layers and convolutions with AdamW for the rest, which learns timing in about half as many steps."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 5e-5
    """Highest learning rate, at the end of the warm-up."""
    betas: tuple[ShareBelowOne, ShareBelowOne] = (0.95, 0.999)
    """Decay of the optimiser's running means of the gradient and of its square."""
    weight_decay: NonNegative = 5e-7
    """Strength with which weights are pulled towards zero."""
    schedule: Literal["halving", "cosine"] = "halving"
    """How the learning rate falls: by halves after some epochs, or along half a cosine to the end."""
    warmup_steps: Count = 0
    """Steps over which the learning rate rises from zero."""
    halve_from_epoch: Positive = 11
    """First epoch after which the learning rate is halved, with the schedule "halving"."""
    halve_every_epochs: Positive = 5
    """Epochs between two halvings."""
    clip_gradient_norm: NonNegative = 0.0
    """Largest gradient norm; 0 does not clip."""

    mask_ratio_audio: ShareBelowOne = 0.75
    """Share of the audio patches that are hidden and reconstructed."""
    mask_ratio_visual: ShareBelowOne = 0.75
    """Share of the frame patches that are hidden and reconstructed."""
    mae_loss_weight: NonNegative = 1.0
    """Weight of the loss of the reconstruction."""
    contrast_loss_weight: NonNegative = 0.01
    """Weight of the contrastive loss, which pairs frames with their audio."""

    contrast_mask: Literal["shared", "random", "teacher"] = "shared"
    """What the contrast sees: the patches that the reconstruction sees; or, in a second pass of the encoder, patches
    drawn for it alone, or those that attend most to the global token in the teacher (TG-DP)."""
    contrast_mask_ratio: ShareBelowOne = DEFAULT_CONTRAST_MASK_RATIO
    """Share of the patches of either modality that is hidden in that second pass."""
    teacher_decay: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Keep a teacher, a moving average of the encoder with this decay per step, that sees whole inputs; 1 leaves it as
    it starts, None keeps none. The paper of TG-DP does not state its decay."""
    teacher_decay_end: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """The teacher's decay at the end of the run, to which it rises along half a cosine; None leaves it constant."""
    distil_loss_weight: NonNegative = 0.0
    """Weight of the mean squared error between the contrast's global vectors and the teacher's, added over audio and
    video."""

    classify: ClassifyConfig | None = None
    """Train a classifier instead of pretraining; None pretrains."""

    face: FaceTraining | None = Field(default=None, exclude_if=_is_unset)
    """Train the face model instead of pretraining; None does not."""
    face_cache: str | None = Field(default=None, exclude_if=_is_unset)
    """Folder that keeps the face tracks of video files; None keeps them in the run's folder."""

    gradient_accumulation: Positive = 1
    """Number of parts that a batch is computed in, one after the other; negatives come from the same part only."""
    ema_decay: ShareBelowOne = 0.0
    """Keep an exponential moving average of the weights, which is evaluated and exported; 0 keeps none."""
    average_from_epoch: Count = 0
    """Keep the mean of the weights at the end of this epoch and of each later one, in place of the moving average, as
    CAV-MAE's fine-tuning does; 0 keeps none."""
    init_from: str | None = None
    """A run, or a checkpoint of the authors, to take the initial weights from; a classifier also takes its sizes."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; "auto" takes a GPU if there is one."""
    devices: Positive = 1
    """Processes per node; torchrun's number overrides it."""
    nodes: Positive = 1
    """Machines that train together."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """ddp: each process has a copy of the model; fsdp: each has a part of the weights; "auto" is ddp."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """"auto" is bf16-mixed where the device supports it natively, else 32-true."""
    compile: bool = False
    """torch.compile the model: the first step takes minutes, later ones less time than without."""
    cuda_graphs: bool = True
    """On one GPU, record forward, backward and update as CUDA graphs after the first steps and replay them; if that is
    not possible, the reason is logged. Each recorded batch shape keeps its memory."""
    activation_checkpointing: bool = False
    """Keep only each block's input for the backward pass and recompute the rest: less memory, more computation."""
    log_mel: Literal["auto", "workers", "device"] = "auto"
    """Where log-mel is computed from audio; "auto" is the device if that is a GPU, else the workers."""
    cache_clips: bool = False
    """Keep all decoded clips in memory; for data sets that fit."""
    workers: Count = 2
    """Processes that decode clips, per training process; 0 decodes in the training process itself."""
    log_every_steps: Positive = 10
    """Steps between two entries of the metrics."""
    checkpoint_every_steps: Positive = 1000
    """Steps between two checkpoints."""
    keep_checkpoints: Positive = 3
    """Number of latest checkpoints to keep; older ones are deleted."""
    keep_every_steps: Count = 0
    """Also keep older checkpoints of steps that are a multiple of this; 0 keeps none."""
    validate_every_steps: Count = 0
    """Steps between two measurements on the held-out clips; checkpoints/best keeps the weights of the best one. With 0
    and `validate_every_epochs` 0 these clips are only measured at the end."""
    validate_every_epochs: Count = 0
    """The same in epochs, instead of `validate_every_steps`."""
    best_by: Literal["loss", "metric"] = "loss"
    """What is best: the lowest held-out loss, or the highest metric, which is the mAP of a classifier with the target
    multi-label, else the held-out accuracy."""
    early_stop_patience: Count = 0
    """End the run after this many measurements in a row without an improvement; 0 never does."""
    max_rejected_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    """The run stops when more than this share of the clips turns out to be unusable."""
    vision_mae: str | None = None
    """Path of a ViT vision-MAE checkpoint that initialises both encoders."""

    @property
    def validates(self) -> bool:
        """Whether the held-out clips are also measured during the run."""
        return bool(self.validate_every_steps or self.validate_every_epochs)

    @property
    def asks_teacher(self) -> bool:
        """Whether the loss needs the teacher, beyond keeping one."""
        return bool(self.distil_loss_weight or (self.contrast_mask == "teacher" and self.contrast_loss_weight))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ema_decay and self.average_from_epoch:
            raise ConfigError("ema_decay and average_from_epoch are both set, but a run keeps one average: drop one.")
        if self.validate_every_steps and self.validate_every_epochs:
            raise ConfigError("validate_every_steps and validate_every_epochs are both set: drop one.")
        if self.early_stop_patience and not self.validates:
            raise ConfigError(
                "early_stop_patience counts measurements during the run, but there are none: set validate_every_steps "
                "or validate_every_epochs."
            )
        if self.optimizer == "muon" and self.strategy == "fsdp":
            raise ConfigError(
                "optimizer=muon orthogonalises whole matrices, but strategy=fsdp gives each process a part of them: "
                "set strategy to ddp, or optimizer to adamw."
            )
        if self.augmentation.needs_samples and self.augmentation.tempo != (1.0, 1.0):
            raise ConfigError(
                "mixup_audio=waveform mixes samples, but a changed tempo leaves only log-mel: set tempo to [1, 1], or "
                "mixup_audio=power."
            )
        _require_teacher_options(self)
        if self.face is not None:
            _require_face_options(self)
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "configuration"
            raise ConfigError(f"Training option '{name}' is {first['input']!r}: {first['msg']}; change it.") from error


def _require_teacher_options(config: TrainConfig) -> None:
    """Raise ConfigError for options of the second path or the teacher that would be ignored or lack another one."""
    if config.contrast_mask == "shared" and config.contrast_mask_ratio != DEFAULT_CONTRAST_MASK_RATIO:
        raise ConfigError(
            "contrast_mask_ratio is for masks of the contrast's own, but contrast_mask is shared: set it to random or "
            "teacher, or change mask_ratio_audio and mask_ratio_visual."
        )
    if config.teacher_decay is None:
        for name in (
            *(["contrast_mask=teacher"] if config.contrast_mask == "teacher" else []),
            *(["distil_loss_weight"] if config.distil_loss_weight else []),
            *(["teacher_decay_end"] if config.teacher_decay_end is not None else []),
        ):
            raise ConfigError(f"{name} needs a teacher: set teacher_decay, to 0.999 for example.")
    elif config.classify is not None or config.face is not None:
        raise ConfigError("A teacher is for pretraining, but the run trains something else: leave out teacher_decay.")


def _require_face_options(config: TrainConfig) -> None:
    """Raise ConfigError for options that a face run cannot honour."""
    if config.classify is not None:
        raise ConfigError("A run trains a classifier or the face model, but classify and face are both set: drop one.")
    unchanged = Augmentation()
    for name in NOT_FOR_FACES:
        if getattr(config.augmentation, name) != getattr(unchanged, name):
            raise ConfigError(f"{name} changes whole frames or timing and has no meaning for a face run: leave it out.")


def override(model: AnyModel, train: TrainConfig, values: Mapping[str, Any]) -> tuple[AnyModel, TrainConfig]:
    """Apply `--set key=value` options; each key belongs to exactly one of the records of the model, the training, its
    augmentation and, for a classifier or the face model, those of that task.

    Raises:
        ConfigError: an unknown key, or a value that the record refuses.
    """
    model_values: dict[str, Any] = model.model_dump()
    train_values: dict[str, Any] = train.model_dump()
    if train.face is not None:
        train_values.setdefault("face_cache", None)
    face: dict[str, Any] = train_values.get("face", {})
    records = (
        *(model_values, train_values, train_values["augmentation"], train_values["classify"] or {}),
        *(face, face.get("face_augmentation", {})),
    )
    for key, value in values.items():
        record = next((record for record in records if key in record and key not in PARTS), None)
        if record is None:
            known = ", ".join(sorted({key for record in records for key in record} - PARTS))
            raise ConfigError(f"Unknown option '{key}': expected one of {known}.")
        record[key] = value
    return type(model).model_validate(model_values), TrainConfig.model_validate(train_values)
