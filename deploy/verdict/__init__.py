"""Verdicts from similarity curves: offset, confidence and state of a window, and events and drift over many.

Public through `cavsync.deploy`: `Curve`, `curve_features`, `FEATURE_NAMES`, `SyncScore`, `Profile`, `resolve_profile`,
`PROFILE_NAMES`, `EventTracker`, `EventChange`.
"""
