"""Evaluation of sync: injected offsets, the two-choice test, 21 classes of offsets, calibration."""
