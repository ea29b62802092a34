"""The task of a configuration."""

from __future__ import annotations

from cavsync.data.sources.classes import ClipClasses
from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig
from cavsync.train.tasks.classification import Classification
from cavsync.train.tasks.pretraining import Pretraining
from cavsync.train.tasks.task import Task


def make_task(model: ModelConfig, config: TrainConfig, classes: ClipClasses | None) -> Task:
    """Make the classification of `classes` if the configuration classifies, else pretraining."""
    if config.classify is None or classes is None:
        return Pretraining(model, config)
    return Classification(model, config, config.classify, classes)
