"""One opened bundle for all tests of a module: it holds no state."""

from pathlib import Path

import pytest
from face_clips import LEFT, RIGHT
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    return Bundle.open(bundle_path, threads=1)


@pytest.fixture(scope="session")
def face_bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that sees a face in the left half and one in the right half of every frame that is not black there."""
    return write_fake_bundle(tmp_path_factory.mktemp("faces"), threshold=0.3, face_places=(LEFT, RIGHT))


@pytest.fixture(scope="session")
def face_bundle(face_bundle_path: Path) -> Bundle:
    return Bundle.open(face_bundle_path, threads=1)
