"""Recipes: each function gives a model and how it trains, and says where its numbers come from."""

from cavsync.model import ModelConfig
from cavsync.train.config import TrainConfig

Recipe = tuple[ModelConfig, TrainConfig]
