"""Kernels of the test process run on the CPU; Triton reads this when they are first imported."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
