"""Recipes: each function returns a model and its training options, and states where its numbers come from."""

from cavsync.model import ModelConfig
from cavsync.model.face_config import FaceConfig
from cavsync.train.config import TrainConfig

AnyModelConfig = ModelConfig | FaceConfig
Recipe = tuple[AnyModelConfig, TrainConfig]
