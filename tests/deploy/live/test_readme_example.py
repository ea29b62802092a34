"""The examples of the README do what it says, to the letter: each block is executed as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sync_clips import write_clip

from cavsync.media import MediaReader, VideoFrame

README = Path(__file__).resolve().parents[3] / "README.md"
MAX_LINES = 12


def block(marker: str) -> str:
    """The one fenced Python block of the README that holds the marker."""
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if marker in text]
    return found


@pytest.fixture
def clip(tmp_path: Path, bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Late by 300 ms from its middle on; the meters of light and loudness stand for the model that comes along."""
    monkeypatch.setattr("cavsync.deploy.runtime.bundle.default_bundle", lambda: bundle_path)
    return write_clip(tmp_path / "clip.mkv", seconds=12.0, audio_offset_ms=lambda t: np.where(t < 6.0, 0.0, -300.0))


@dataclass(frozen=True)
class Item:
    """What somebody else's pipeline hands over."""

    is_video: bool
    seconds: float
    data: np.ndarray


def pipeline(clip: Path) -> Iterator[Item]:
    with MediaReader(clip) as reader:
        for item in reader:
            is_video = isinstance(item, VideoFrame)
            yield Item(is_video, item.pts_seconds, item.rgb if isinstance(item, VideoFrame) else item.samples)


def is_short(text: str) -> bool:
    return len([line for line in text.splitlines() if line.strip()]) <= MAX_LINES


def test_embedding_in_a_pipeline_of_your_own(clip: Path) -> None:
    text = block("# in a pipeline of your own")
    alarms: list[tuple[Any, ...]] = []
    names: dict[str, Any] = {"pipeline": pipeline(clip), "alarm": lambda *values: alarms.append(values)}
    exec(compile(text, str(README), "exec"), names)
    assert is_short(text)
    ((phase, state, extreme_ms),) = alarms
    assert (phase, state) == ("began", "audio_late")
    assert extreme_ms == pytest.approx(-300.0, abs=40)


def test_watching_a_source(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = block("# a live source")
    exec(compile(text, str(README), "exec"), {"address": str(clip)})
    assert is_short(text)
    said = capsys.readouterr().out
    assert "in_sync" in said
    assert "began audio_late" in said
    assert "ended audio_late" in said
