"""A RUN folder: the paths of its files and the content of its small ones, without torch.

    config.json                        configuration of the model and of its training, or the checkpoint it came from
    class_labels.csv                   classes of a classifier
    data.json                          hash of the clips that the run began with
    held_out.json                      paths of the clips that the run never trains on
    faces/, face_offsets.json          of a face model: tracks of the clips' faces, offsets of the footage
    metrics.jsonl, tensorboard/        metrics by step
    checkpoints/step-N/                one checkpoint, see `CheckpointFiles`
    checkpoints/best/                  weights of the best held-out measurement, where the run makes any while it trains

`cavsync.model.checkpoint` writes the configuration and the weights, `cavsync.train` the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cavsync.errors import CheckpointError, ConfigError

FORMAT: Literal[1] = 1
CHECKPOINTS = "checkpoints"
STEP_PREFIX = "step-"
BEST = "best"


class RunConfig(BaseModel):
    """Content of config.json; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = FORMAT
    model: dict[str, Any]
    """A `ModelConfig` as JSON values; a `FaceConfig` where `kind` is "face"."""
    kind: Literal["face"] | None = None
    """"face" for the face model; None for all others."""
    label_dim: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Number of classes of a classifier; None for a pretraining model."""
    head: Literal["linear", "attention", "self_attention_cls", "self_attention_cls_single", "concat_mlp"] = "linear"
    """The classifier's `Head`."""
    train: dict[str, Any] | None = None
    """A `TrainConfig` as JSON values; None for a run that was converted."""
    source: dict[str, Any] | None = None
    """Of a converted run `sha256`, `fingerprint` and `file` of the original; of an averaged one `averaged_steps`; of
    one that started from a checkpoint of another audio length or frame size `fitted_positions`, what was done to each
    position table."""

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Read a config.json. CheckpointError where it is missing, damaged, or of another format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CheckpointError(
                f"'{path.parent}' is not a run: it has no readable {path.name}, check the path."
            ) from error
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"'{path}' is not valid JSON: restore it, or train or convert again.") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise CheckpointError(
                f"'{path}' is not of format {FORMAT}: read it with the cavsync version that wrote it."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise CheckpointError(
                f"'{path}' is damaged ({'.'.join(map(str, first['loc']))}: {first['msg']}): restore it, or train or "
                "convert again."
            ) from None

    def to_text(self) -> str:
        """Return the JSON that `read` reads; a pretraining model has neither label_dim nor head."""
        unused = {"label_dim", "head"} if self.label_dim is None else set()
        unused |= {"kind"} if self.kind is None else set()
        return json.dumps(self.model_dump(mode="json", exclude=unused), indent=2) + "\n"


@dataclass
class CheckpointFiles:
    """The files of one checkpoint, whether or not they exist."""

    path: Path

    def __post_init__(self) -> None:
        self.weights = self.path / "model.safetensors"
        """The weights at this step."""
        self.average = self.path / "average.safetensors"
        """Average of the weights over the run so far, where it keeps one; it lacks tensors that are not averaged."""
        self.teacher = self.path / "teacher.safetensors"
        """Weights of the teacher's encoder, where a run keeps one, for resuming."""
        self.optimizer = self.path / "optimizer.pt"
        """State of the optimizer by parameter name, for resuming."""
        self.state = self.path / "state.json"
        """Step, elapsed time, and the best measurement so far as JSON, for resuming."""

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """Existing files that make up the weights of a model to use: `weights`, and `average` which replaces them."""
        return tuple(file for file in (self.weights, self.average) if file.is_file())


@dataclass
class RunFolder:
    """Where the files of a run lie, whether or not they exist."""

    path: Path

    def __post_init__(self) -> None:
        self.config_file = self.path / "config.json"
        """A `RunConfig`; a folder without one is no run."""
        self.class_labels_file = self.path / "class_labels.csv"
        """CSV `index,mid,display_name` of a classifier's classes."""
        self.data_file = self.path / "data.json"
        """JSON `{"sha256": ...}` of the clips that the run began with."""
        self.held_out_file = self.path / "held_out.json"
        """JSON `{"clips": [paths]}` of video files that the run never trains on."""
        self.faces = self.path / "faces"
        """Folder of the face tracks of the clips, where the run keeps them itself."""
        self.face_offsets_file = self.path / "face_offsets.json"
        """JSON `{"step": ..., "groups": {name: {"audio_offset_ms": ..., "clips": ...}}}` of the training footage."""
        self.lock_file = self.path / ".lock"
        """Locked by the session that trains the run."""
        self.metrics_file = self.path / "metrics.jsonl"
        """One JSON object per logged step."""
        self.tensorboard = self.path / "tensorboard"
        """Folder of TensorBoard events."""
        self.checkpoints = self.path / CHECKPOINTS
        """Folder of the checkpoints."""
        self.best = CheckpointFiles(self.checkpoints / BEST)
        """Weights, average and state of the best held-out measurement; nothing to resume from."""

    def non_finite_file(self, step: int) -> Path:
        """JSON `step` and `clips` of the batch whose loss or gradient was not finite."""
        return self.path / f"non_finite_step_{step}.json"

    def checkpoint(self, step: int) -> CheckpointFiles:
        """The checkpoint of `step`."""
        return CheckpointFiles(self.checkpoints / f"{STEP_PREFIX}{step}")

    def steps(self) -> list[int]:
        """Return the steps that have weights, ascending."""
        numbers = (path.name.removeprefix(STEP_PREFIX) for path in self.checkpoints.glob(f"{STEP_PREFIX}*"))
        steps = sorted(int(number) for number in numbers if number.isdecimal())
        return [step for step in steps if self.checkpoint(step).weights.is_file()]

    def latest_step(self) -> int | None:
        """Return the highest step that has weights, None without any."""
        return max(self.steps(), default=None)


@dataclass(frozen=True)
class Run:
    """A run, opened for reading at one step: `named_step`, the best one (`is_best`), or the latest one when `step` is
    first used."""

    folder: RunFolder
    config: RunConfig
    named_step: int | None = None
    is_best: bool = False

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open RUN, RUN/checkpoints/step-N or RUN/checkpoints/best.

        Raises CheckpointError where it is no run, its configuration is damaged, or N is no number.
        """
        path = Path(path)
        step = None
        is_best = _names_checkpoint(path) and path.name == BEST
        if is_best:
            path = path.parent.parent
        elif _names_checkpoint(path):
            number = path.name.removeprefix(STEP_PREFIX)
            if not number.isdecimal():
                raise CheckpointError(
                    f"'{path}' is not a step of a run: give the run, or its {CHECKPOINTS}/step-N or "
                    f"{CHECKPOINTS}/{BEST}."
                )
            path, step = path.parent.parent, int(number)
        folder = RunFolder(path)
        return cls(folder, RunConfig.read(folder.config_file), step, is_best)

    @classmethod
    def find(cls, path: str | Path) -> Run | None:
        """Open the run that `path` names, as `open`; None for a file, which may be a `.pth` of the authors."""
        return cls.open(path) if Path(path).is_dir() or _names_checkpoint(Path(path)) else None

    def at(self, step: int | None) -> Run:
        """Return the run at `step`; itself for None. ConfigError where its path names another step."""
        if step is None or step == self.named_step:
            return self
        if self.named_step is not None or self.is_best:
            raise ConfigError(
                f"'{self.checkpoint.path}' is step {self.step}, but step {step} is asked for: leave one of them out."
            )
        return replace(self, named_step=step)

    @cached_property
    def step(self) -> int:
        """The named step, the best one or the latest one. CheckpointError where it has no weights."""
        if self.is_best:
            return _step_of(self.folder.best)
        latest = self.folder.latest_step()
        if latest is None:
            raise CheckpointError(f"'{self.folder.path}' has no checkpoint yet: train it first, or name another run.")
        step = latest if self.named_step is None else self.named_step
        if not self.folder.checkpoint(step).weights.is_file():
            raise CheckpointError(f"'{self.folder.path}' has no step {step}: its latest is {latest}.")
        return step

    @property
    def checkpoint(self) -> CheckpointFiles:
        """The checkpoint of `step`; CheckpointError as there."""
        step = self.step
        return self.folder.best if self.is_best else self.folder.checkpoint(step)

    @property
    def name(self) -> str:
        """Name of the run's folder, also where its path is "." or a link."""
        return self.folder.path.resolve().name

    @property
    def is_classifier(self) -> bool:
        """Whether the model tells classes apart, rather than being a pretraining model."""
        return self.config.label_dim is not None

    @property
    def is_face(self) -> bool:
        """Whether the model is the face model."""
        return self.config.kind == "face"

    @property
    def class_labels_file(self) -> Path | None:
        """The CSV of a classifier's classes; None where the run does not have it, as after a conversion."""
        path = self.folder.class_labels_file
        return path if path.is_file() else None

    def held_out_clips(self) -> list[Path]:
        """Return the video files that the run never trained on, which may be gone; empty where it noted none.

        Raises CheckpointError where the note is damaged.
        """
        path = self.folder.held_out_file
        if not path.is_file():
            return []
        try:
            return [Path(name) for name in json.loads(path.read_text(encoding="utf-8"))["clips"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CheckpointError(f"'{path}' is damaged: restore it, or name calibration clips yourself.") from None


def _names_checkpoint(path: Path) -> bool:
    return path.parent.name == CHECKPOINTS and (path.name.startswith(STEP_PREFIX) or path.name == BEST)


def _step_of(files: CheckpointFiles) -> int:
    """Return the step that `best` is of."""
    if not files.weights.is_file():
        raise CheckpointError(
            f"'{files.path.parent.parent}' has no best checkpoint: train it with validate_every_steps or "
            "validate_every_epochs, or name a step."
        )
    try:
        return int(json.loads(files.state.read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"'{files.state}' is damaged or unreadable: use a step of the run.") from None
