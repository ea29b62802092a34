"""Verdicts from similarity curves: offset, confidence and state of a window, and events and drift over many."""
