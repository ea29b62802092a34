"""Statistics of a data set's log-mel, against NumPy on all values at once."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from generated_clips import make_clips
from hypothesis import given
from hypothesis import strategies as st

from cavsync.cli.main import main
from cavsync.data.sources.clips import open_source
from cavsync.data.stats import RunningMoments

values = st.lists(st.floats(-100, 100, width=32), max_size=20)


@given(parts=st.lists(values, min_size=1, max_size=5))
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    total = sum((RunningMoments.of(np.array(part, dtype=np.float32)) for part in parts), RunningMoments())
    whole = np.array([value for part in parts for value in part], dtype=np.float32).astype(np.float64)
    assert total.count == len(whole)
    assert total.mean == pytest.approx(whole.mean() if len(whole) else 0.0, abs=1e-9)
    assert total.std == pytest.approx(whole.std() if len(whole) else 0.0, abs=1e-6)


def test_far_from_zero_no_digits_are_lost() -> None:
    parts = [np.float32(1e6) + np.arange(4, dtype=np.float32) for _ in range(1000)]
    assert sum(map(RunningMoments.of, parts), RunningMoments()).std == pytest.approx(np.std([0, 1, 2, 3]), rel=1e-9)


def test_command(tmp_path: Path) -> None:
    """All usable clips count, damaged ones are reported; nothing usable is an error of one sentence."""
    folder = make_clips(tmp_path / "clips", 2)
    (folder / "bad.mp4").write_text("no video")
    result = CliRunner().invoke(main, ["data", "stats", str(folder), "--json", "--workers", "1"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    source = open_source(folder, frames_per_clip=10, segment_frames=1)
    usable = [i for i, name in enumerate(source.names) if not name.endswith("bad.mp4")]
    audio = [source.load(i, 32).audio for i in usable]
    features = np.concatenate([audio.segments(np.zeros(1, dtype=np.int64), len(audio))[0] for audio in audio])
    features = features.astype(np.float64)
    assert found["mean"] == pytest.approx(features.mean(), abs=1e-6)
    assert found["std"] == pytest.approx(features.std(), abs=1e-6)
    assert (found["clips"], found["rejected"]) == (2, 1)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "bad.mp4").write_text("no video")
    result = CliRunner().invoke(main, ["data", "stats", str(alone), "--workers", "1"])
    assert result.exit_code == 1
    assert "No clip has audio to measure" in result.output
