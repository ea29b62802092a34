"""cavsync: pretrain CAV-MAE Sync, export its encoders, score audio-visual sync in files and live streams."""

__version__ = "0.1.0"
