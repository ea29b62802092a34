"""Files as they come from the field are scored right, or refused with a reason that names the cause."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from situation import Situation, all_situations

from cavsync.deploy import Bundle, SyncScore, score_file
from cavsync.errors import CavsyncError

TOLERANCE_MS = 10.0


def test_names_of_rows_are_unique() -> None:
    names = [situation.name for situation in all_situations()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("situation", all_situations(), ids=lambda situation: situation.name)
def test_score(situation: Situation, base: Path, bundle: Bundle, tmp_path: Path) -> None:
    path = situation.write(base, tmp_path)
    score, words = scored(path, bundle, situation.options)
    assert "\n" not in words
    assert situation.says is None or re.search(situation.says, words), words
    if situation.offset_ms is None:
        assert score is None or not score.is_measured, words
        return
    assert score is not None, words
    assert score.is_measured, words
    assert score.audio_offset_ms == pytest.approx(situation.offset_ms, abs=TOLERANCE_MS), words


def scored(path: Path, bundle: Bundle, options: Mapping[str, object]) -> tuple[SyncScore | None, str]:
    """Return the score and the summary as JSON; or None and the refusal."""
    try:
        summary = score_file(path, bundle, **options).summary  # type: ignore[arg-type]
    except CavsyncError as error:
        return None, str(error)
    return summary.score, json.dumps(summary.to_dict(), ensure_ascii=False)
