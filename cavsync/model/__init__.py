"""The model: CAV-MAE Sync and CAV-MAE as configurations of one class."""

from cavsync.model.cav_mae_sync import CAVMAESync, PretrainOutput
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import Embedding

__all__ = ["CAVMAESync", "Embedding", "ModelConfig", "PretrainOutput"]
