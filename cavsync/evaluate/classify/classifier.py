"""Open a classifier by its path, with its classes and the way it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavsync.data.sources.classes import ClassLabels, Target
from cavsync.errors import CheckpointError, ConfigError
from cavsync.evaluate.inputs.encoders import open_model
from cavsync.evaluate.results.result import ModelId
from cavsync.model.classifier import CAVMAEFT, CONCAT_FRAMES, Mode
from cavsync.run import Run

PUBLISHED_FRAMES = 16


@dataclass(frozen=True)
class OpenClassifier:
    """A `model` in evaluation mode with its classes; `target` and `mode` as in its training, None if unknown.

    frames_per_clip: of the training, with a head on clips; None if unknown, or with another head.
    """

    id: ModelId
    model: CAVMAEFT
    labels: ClassLabels
    target: Target | None = None
    mode: Mode | None = None
    frames_per_clip: int | None = None

    def check_modes(self, modes: Sequence[Mode]) -> None:
        """Raise ConfigError for a mode that the model was not trained for."""
        allowed: dict[Mode | None, tuple[Mode, ...]] = {
            "multimodal": ("multimodal", "missing-visual", "missing-audio"),
            "audio-only": ("audio-only",),
            "visual-only": ("visual-only",),
        }
        for mode in modes:
            if mode not in allowed.get(self.mode, (mode,)):
                raise ConfigError(
                    f"Mode '{mode}' does not fit: {self.id.name} was trained {self.mode}, which allows "
                    f"{', '.join(allowed[self.mode])}."
                )

    def require_frames(self, use: str) -> None:
        """Raise ConfigError where the head takes the frames of a clip together; `use` names what needs single ones."""
        if self.model.takes_clips:
            raise ConfigError(
                f"{self.id.name} has the head {self.model.head}, which classifies the frames of a whole clip together, "
                f"but {use} needs classes of single frames: train it with --set head=linear or head=attention, and "
                "--set instants_per_clip=1."
            )

    @property
    def frames_together(self) -> int:
        """Frames that the head takes together: those of its training, or else of the published one."""
        if not self.model.takes_clips:
            return 1
        return CONCAT_FRAMES if self.model.head == "concat_mlp" else self.frames_per_clip or PUBLISHED_FRAMES


def open_classifier(path: Path, labels: Path | None = None, **overrides: Any) -> OpenClassifier:
    """Open a RUN, RUN/checkpoints/step-N, or an authors' `.pth`, with its classes.

    labels: the CSV of the classes, which a `.pth` needs. overrides: as for `open_model` (evaluate/inputs/encoders.py).
    Raises CheckpointError for a model that is not a classifier, ConfigError for classes that are missing or do not fit.
    """
    id, model = open_model(path, **overrides)
    if not isinstance(model, CAVMAEFT):
        raise CheckpointError(
            f"'{path}' holds a pretraining model, which has no classes: train a head on it with "
            f"`cavsync train --preset probe --set init_from={path}`."
        )
    run = Run.find(path)
    found = _labels(path, None if run is None else run.class_labels_file, labels)
    if len(found) != model.label_dim:
        raise ConfigError(
            f"'{path}' has {model.label_dim} classes, the vocabulary {len(found)}: give the vocabulary of its training."
        )
    train = (None if run is None else run.config.train) or {}
    classify = train.get("classify") or {}
    frames = train.get("instants_per_clip") if model.takes_clips else None
    return OpenClassifier(id, model, found, classify.get("target"), classify.get("mode"), frames)


def _labels(path: Path, own: Path | None, given: Path | None) -> ClassLabels:
    if own is None and given is None:
        raise ConfigError(f"'{path}' does not state its classes: give their CSV with --labels.")
    labels = [ClassLabels.read(each) for each in (own, given) if each is not None]
    if labels[0] != labels[-1]:
        raise ConfigError(f"'{path}' was trained on other classes than --labels lists: leave out --labels.")
    return labels[0]
