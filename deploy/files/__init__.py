"""Scoring of whole files, with a summary per file and totals over several.

Public through `cavsync.deploy`: `score_file`, `FileScore`, `FileFailure`, `Outcome`, `FileSummary`.
"""
