"""The clip that all field files are made from, and the bundle that they are scored with."""

from __future__ import annotations

from pathlib import Path

import pytest
from coded_clips import write_coded_clip
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 with reordered frames and AAC in MP4, 6 s long, whose true offset is 0."""
    return write_coded_clip(tmp_path_factory.mktemp("base") / "base.mp4", seconds=6.0)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_fake_bundle(tmp_path_factory.mktemp("meter") / "bundle"), threads=1)
