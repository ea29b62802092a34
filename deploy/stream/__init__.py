"""The streaming scorer: frames and audio in, sync decisions out.

Public through `cavsync.deploy`: `SyncScorer`, `ScoringOptions`.
"""
