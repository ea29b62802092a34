"""The model: CAV-MAE Sync and CAV-MAE as configurations of one class.

Public: the names below, `cavsync.model.upstream.load_upstream` (authors' checkpoints), `cavsync.model.load.load_any`
(runs and checkpoints by path) and `cavsync.model.classifier.CAVMAEFT`.
"""

from cavsync.model.cav_mae_sync import CAVMAESync, PretrainOutput
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import Embedding

__all__ = ["CAVMAESync", "Embedding", "ModelConfig", "PretrainOutput"]
