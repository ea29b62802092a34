"""The built library, and bundles with either kind of visual encoder; all tests are skipped without a build."""

from pathlib import Path

import pytest
from fake_bundle import write_fake_bundle
from native_library import NativeLibrary, native_build
from pair_bundle import write_pair_bundle

BUNDLES = {"tubelets": write_fake_bundle, "pairs": write_pair_bundle}


@pytest.fixture(scope="session")
def build() -> Path:
    return native_build()


@pytest.fixture(scope="session")
def library(build: Path) -> NativeLibrary:
    return NativeLibrary(build)


@pytest.fixture(scope="session", params=list(BUNDLES))
def bundle_path(request: pytest.FixtureRequest, build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUNDLES[request.param](tmp_path_factory.mktemp(request.param))
