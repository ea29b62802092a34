"""Clips that the training tests share."""

from pathlib import Path

import pytest
from generated_clips import make_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight generated clips of two seconds."""
    return make_clips(tmp_path_factory.mktemp("clips"), 8)
