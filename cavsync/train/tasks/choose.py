"""The task of a configuration."""

from __future__ import annotations

from cavsync.model.face_config import FaceConfig
from cavsync.run import RunFolder
from cavsync.train.config import TrainConfig
from cavsync.train.data import RunData
from cavsync.train.recipes import AnyModelConfig
from cavsync.train.tasks.classification import Classification
from cavsync.train.tasks.face_sync import FaceSyncTask
from cavsync.train.tasks.pretraining import Pretraining
from cavsync.train.tasks.task import Task


def make_task(model: AnyModelConfig, config: TrainConfig, data: RunData, folder: RunFolder) -> Task:
    """Make the task of a face model, the classification of the data's classes, or else pretraining."""
    if isinstance(model, FaceConfig):
        return FaceSyncTask(model, config, data, folder)
    if config.classify is None or data.classes is None:
        return Pretraining(model, config)
    return Classification(model, config, config.classify, data.classes)
