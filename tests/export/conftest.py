"""A run with a tiny model that all export tests share."""

from pathlib import Path

import pytest
from small_models import TUBELETS, small_model

from cavsync.model.checkpoint import save_model


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with one checkpoint, random weights, no held-out clips."""
    folder = tmp_path_factory.mktemp("run")
    save_model(small_model(**TUBELETS), folder, 3, train={"preset": "test", "seed": 0})
    return folder
