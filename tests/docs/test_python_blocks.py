"""The Python blocks of the documentation do what they say, to the letter: each is executed as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from documents import BLOCKS
from fake_bundle import write_fake_bundle
from sync_clips import write_clip

PYTHON = [block.text for block in BLOCKS if block.language == "python" and block.not_run is None]
MAX_LINES = 12
# What a block says, by a text that it alone holds.
SAYS = {
    'score_file("video.mp4")': r"\A\w+ -?\d+",
    "# in a pipeline of your own": r"\A(in_sync -?\d.*\n)+(.*\n)*(audio_late -\d.*\n)+",
    "EnginePool": r"\A(video\.mp4 \w+\n){4}\Z",
    "# a live source": r"in_sync(.*\n)*began audio_late(.*\n)*ended audio_late",
    "# alarms in your own pipeline": r"\Abegan audio_late -(2[6-9]|3[0-3])\d\.",
    "CAVMAESync": r"\Atensor\(",
    "use_backend": r"\A\Z",
}


def test_every_block_is_tried() -> None:
    assert [sum(marker in block for block in PYTHON) for marker in SAYS] == [1] * len(PYTHON)


@pytest.mark.parametrize("marker", SAYS)
def test_a_block_runs_as_pasted(
    marker: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The clip is late by 300 ms from its middle on; meters of light and loudness stand for the shipped model."""
    if "CAVMAE" in marker or "backend" in marker:
        pytest.importorskip("torch")
    (text,) = [block for block in PYTHON if marker in block]
    assert len([line for line in text.splitlines() if line.strip()]) <= MAX_LINES
    monkeypatch.setattr("cavsync.deploy.runtime.bundle.default_bundle", lambda: write_fake_bundle(tmp_path / "bundle"))
    monkeypatch.chdir(tmp_path)
    clip = write_clip(Path("clip.mkv"), seconds=12.0, audio_offset_ms=lambda t: np.where(t < 6.0, 0.0, -300.0))
    clip.rename("video.mp4")
    exec(compile(text, "the documentation", "exec"), {})
    said = capsys.readouterr().out
    assert re.search(SAYS[marker], said), said
