"""Repair of files with a constant offset, by copying them without re-encoding.

Public through the command `cavsync fix` only.
"""
