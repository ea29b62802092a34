"""The absolute offset of clips as they are, by a bundle that measures light and loudness."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fake_bundle import write_fake_bundle
from numpy.typing import NDArray
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.deploy import Bundle
from cavsync.evaluate.sync.absolute_offset import AbsoluteOffset, absolute_offsets
from cavsync.evaluate.sync.cases import SyncCase
from cavsync.evaluate.sync.measure import ClipResult
from cavsync.evaluate.sync.report.class_metrics import absolute_figures


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("meter"))


def test_each_window_has_its_own_class(meter: Path, tmp_path: Path) -> None:
    """The audio of the first half is early by 0.6 s, that of the second late by 0.4 s."""

    def offset_ms(times: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(times < 8, 600.0, -400.0)

    path = write_clip(tmp_path / "clip.mkv", seconds=16.0, audio_offset_ms=offset_ms)
    (found,) = absolute_offsets({"meter": Bundle.open(meter)}, path).values()
    assert (found.first, found.last) == (13, 8)
    assert found.seconds == pytest.approx((0.6 + 0.4) / 2)


def test_figures() -> None:
    """Windows without evidence count in no mean and never as 0."""
    answers = ((10, 10), (11, None), (None, None), (5, 9))
    clips = [
        ClipResult(SyncCase(Path(str(number)), "x", group=str(number)), {}, absolute={"a": AbsoluteOffset(*answer)})
        for number, answer in enumerate(answers)
    ]
    found = absolute_figures(clips)["a"]
    assert {name: (figure["mean"], figure["clips"]) for name, figure in found.items()} == {
        "seconds": (pytest.approx((0.0 + 0.2 + 0.6) / 3), 3),
        "at_zero": (pytest.approx(1 / 3), 3),
        "within_1": (pytest.approx((1 + 1 + 0.5) / 3), 3),
        "no_evidence": (0.25, 4),
    }
    nothing = absolute_figures(clips[2:3])["a"]
    assert (nothing["seconds"]["mean"], nothing["no_evidence"]["mean"]) == (None, 1.0)
    assert absolute_figures([ClipResult(clips[0].case, {})]) == {}


def test_command(meter: Path, tmp_path: Path) -> None:
    """In sync, a silent clip, and the figures under their names."""
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "good.mkv", seconds=8.0)
    write_clip(tmp_path / "clips" / "silent.mkv", seconds=8.0, samples=np.zeros(8 * 48_000, np.float32))
    options = ("--offsets", "0", "--absolute-offset", "--json", tmp_path / "out.json")
    command = ["eval", "sync", tmp_path / "clips", "--bundle", meter, *options]
    result = CliRunner().invoke(main, [*map(str, command)])
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "out.json").read_text())["metrics"]
    prefix = f"{meter.name}.abs_offset"
    found = {name.removeprefix(f"{prefix}_"): metric for name, metric in metrics.items() if name.startswith(prefix)}
    assert {name: (metric["value"], metric["count"]) for name, metric in found.items()} == {
        **{"seconds": (0.0, 1), "at_zero": (1.0, 1), "within_1_class": (1.0, 1), "no_evidence": (0.5, 2)},
    }
    assert found["seconds"]["better"] == "lower"
    assert "absolute offset of the clips as they are" in result.output
