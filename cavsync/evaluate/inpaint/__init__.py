"""Evaluation of reconstruction: what a decoder makes of hidden patches."""
