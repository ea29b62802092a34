"""Which task a configuration asks for."""

from __future__ import annotations

from cavsync.data.class_labels import ClipClasses
from cavsync.model import ModelConfig
from cavsync.train.classification import Classification
from cavsync.train.config import TrainConfig
from cavsync.train.pretraining import Pretraining
from cavsync.train.task import Task


def make_task(model: ModelConfig, config: TrainConfig, classes: ClipClasses | None) -> Task:
    """Classification of `classes`, which are there where the configuration classifies, else pretraining."""
    if config.classify is None or classes is None:
        return Pretraining(model, config)
    return Classification(model, config, config.classify, classes)
