"""One opened bundle for all tests of a module: it holds no state."""

from pathlib import Path

import pytest
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path, threads=1)
