"""A bundle of meters for all examples that take one."""

from pathlib import Path

import pytest
from fake_bundle import write_fake_bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundle"))
