"""A real speaker whose picture is changed: the offset stays, or nothing is decided."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from shared_folder import shared_folder

from cavsync.deploy import Bundle, SyncScore, score_file
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.evaluate.sync.files.variant_file import write_variant_file
from cavsync.evaluate.sync.files.variants import VARIANTS
from cavsync.evaluate.sync.report.control_metrics import LARGEST_MOVEMENT_MS

pytestmark = [pytest.mark.shared, pytest.mark.slow]
# A speaker that the model was not trained on.
SPEAKER = "grid/brbk7n.mpg"
MAY_BE_UNDECIDED = {"cuts", "fps15", "mirror"}


@cache
def bundle() -> Bundle:
    return Bundle.open(default_bundle(), threads=1)


def verdict(path: Path) -> SyncScore:
    return score_file(path, bundle(), path="face", window_seconds=2.0).summary.score


@cache
def unchanged_ms() -> float:
    score = verdict(shared_folder("data") / "clips" / SPEAKER)
    assert score.is_measured
    assert score.audio_offset_ms is not None
    return score.audio_offset_ms


@pytest.mark.parametrize("name", VARIANTS)
def test_a_changed_picture_does_not_move_the_offset(name: str, tmp_path: Path) -> None:
    found = verdict(write_variant_file(shared_folder("data") / "clips" / SPEAKER, tmp_path, name))
    if not found.is_measured:
        assert name in MAY_BE_UNDECIDED
        return
    assert found.audio_offset_ms == pytest.approx(unchanged_ms(), abs=LARGEST_MOVEMENT_MS)
