"""Scoring whole files."""
