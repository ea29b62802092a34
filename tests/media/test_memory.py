"""Files that declare far more than they hold take no more memory than others."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from measured_memory import read_measured
from sync_clips import write_clip


def with_forged_tag(clip: bytes) -> bytes:
    """An AVI with a title that claims to take 2 GiB, before the media."""
    place = clip.index(b"movi") - 8
    tag = b"INFO" + b"INAM" + struct.pack("<I", 0x7FFF_FE00)
    return clip[:place] + b"LIST" + struct.pack("<I", 0x7FFF_FF00) + tag + clip[place:]


@pytest.mark.parametrize("confined", [True, False])
def test_a_tag_that_claims_two_gigabytes(tmp_path: Path, confined: bool) -> None:
    path = write_clip(tmp_path / "clip.avi", seconds=2.0)
    path.write_bytes(with_forged_tag(path.read_bytes()))
    words, grown_bytes = read_measured(path, confined=confined)
    assert words == "read"
    assert grown_bytes < 256 << 20
