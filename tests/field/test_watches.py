"""A file that is watched counts as cut off where it does when it is scored, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows_truncation import SITUATIONS
from situation import Situation

from cavsync.deploy import Bundle, Watcher
from cavsync.errors import MediaError


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_watch(situation: Situation, base: Path, bundle: Bundle, tmp_path: Path) -> None:
    path = situation.write(base, tmp_path)
    records = []
    with Watcher(str(path), bundle) as watcher:
        if situation.offset_ms is not None:
            assert list(watcher)
            return
        with pytest.raises(MediaError, match=r"is truncated|breaks off") as refused:
            records += watcher
    assert str(path) in str(refused.value)
    assert "complete file" in str(refused.value)
    assert records
