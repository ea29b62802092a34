"""The examples do what they say, each run as a program; meters of light and loudness stand for the shipped model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from documents import ROOT
from run_example import run_example
from sync_clips import write_clip

FOLDER = ROOT / "examples"
NOTEBOOK = FOLDER / "curve_and_heat_map.ipynb"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds; from the middle on the audio is late by 300 ms."""
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    return write_clip(path, seconds=12.0, audio_offset_ms=lambda t: np.where(t < 6.0, 0.0, -300.0))


def test_every_example_is_described_and_run() -> None:
    names = {path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb")}
    assert names == set(re.findall(r"^\| \[(\S+)\]\(\1\)", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE))
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert {name for name in names if name not in tests} == set()


def test_a_file_is_scored(clip: Path, bundle_path: Path, tmp_path: Path) -> None:
    said = run_example("score_file.py", clip, bundle_path, folder=tmp_path)
    assert re.search(r"^ +\d+\.\d\d s  in_sync +-?\d", said, re.MULTILINE)
    assert re.search(r"^verdict: \w+, -?\d", said, re.MULTILINE)
    assert re.search(r"^audio_late from \d+\.\d to 12\.0 s, up to -3\d\d ms$", said, re.MULTILINE)


def test_a_pipeline_raises_an_alarm(clip: Path, bundle_path: Path, tmp_path: Path) -> None:
    said = run_example("embed_in_pipeline.py", clip, bundle_path, folder=tmp_path)
    assert re.search(r"\Abegan audio_late at \d+\.\d s, up to -(2|3)\d\d ms\naudio_late until the end\n\Z", said), said


def test_the_notebook_draws(clip: Path, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pictures hold what they show: a curve whose peak is at the offset, and the similarity of every moment."""
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr("cavsync.deploy.runtime.bundle.default_bundle", lambda: bundle_path)
    monkeypatch.chdir(tmp_path)
    Path("video.mp4").symlink_to(clip)
    plt.switch_backend("agg")
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()) or plt.figure())
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), "curve_and_heat_map.ipynb", "exec"), names)
    curve, heat_map = (figure.axes[0] for figure in shown)
    offsets_ms, similarity = curve.lines[0].get_data()
    assert offsets_ms[np.nanargmax(similarity)] == pytest.approx(curve.lines[1].get_xdata()[0], abs=60)
    assert np.isfinite(heat_map.collections[0].get_array()).any()
    plt.close("all")
