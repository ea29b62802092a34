"""Evaluation of retrieval: audio found by frames and frames found by audio."""
