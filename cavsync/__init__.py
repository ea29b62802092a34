"""cavsync: pretrain CAV-MAE Sync, export its encoders, score audio-visual sync in files and live streams.

Importing it loads nothing but the version. The public packages are `cavsync.model`, `cavsync.train`, `cavsync.media`,
`cavsync.kernels`, `cavsync.export` and `cavsync.deploy`; docs/reference/public.md has the rule for changes.
"""

__version__ = "0.1.0"
