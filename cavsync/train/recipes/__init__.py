"""Recipes: each function returns a model and its training options, and states where its numbers come from."""

from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig

Recipe = tuple[ModelConfig, TrainConfig]
