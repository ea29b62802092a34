"""Figures of a sync test from its trials, and the result that is made of them: tables, plots and protocol.

Imports the trials of the room above and `cavsync.evaluate.results`.
"""
