"""Which paths of a bundle are tested, and what the answer of each is taken to be."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle, Curve
from cavsync.deploy.stream.options import ScoringOptions
from cavsync.errors import ConfigError
from cavsync.evaluate.sync.judges import bundle_judges
from cavsync.evaluate.sync.paths import paths_to_test, zero_point_ms
from cavsync.manifest import FaceSpec, GraphSpec

LAGS_MS = np.arange(-80.0, 81.0, 40.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_fake_bundle(tmp_path_factory.mktemp("bundles") / "meter"))


@pytest.fixture(scope="module")
def with_faces(plain: Bundle) -> Bundle:
    """A bundle that says it has a face path, calibrated with another zero point on files."""
    graph, calibration = GraphSpec("graph.onnx", [], []), plain.manifest.calibration
    assert calibration is not None
    faces = FaceSpec(
        *[graph] * 6,
        frame_rate_hz=25.0,
        num_frames=5,
        segment_frames=40,
        step_frames=4,
        source={},
        licences={},
        calibration=replace(calibration, zero_point_ms=-7.0),
        file_calibration=replace(calibration, zero_point_ms=12.0),
    )
    return replace(plain, manifest=replace(plain.manifest, faces=faces))


def test_paths_are_those_of_the_bundle(plain: Bundle, with_faces: Bundle) -> None:
    assert paths_to_test(plain.manifest, ()) == paths_to_test(plain.manifest, ("auto", "face")) == ("whole",)
    assert paths_to_test(with_faces.manifest, ()) == ("auto", "face", "whole")
    assert paths_to_test(with_faces.manifest, ("whole", "auto")) == ("auto", "whole")
    with pytest.raises(ConfigError, match="no face path"):
        paths_to_test(plain.manifest, ("face",))


def test_zero_points_are_those_of_the_path(plain: Bundle, with_faces: Bundle) -> None:
    """A calibration on files comes before the one on windows."""
    assert zero_point_ms(with_faces.manifest, "face") == 12.0
    assert zero_point_ms(with_faces.manifest, "whole") == 0.0
    assert with_faces.manifest.faces is not None
    windows_only = replace(with_faces.manifest, faces=replace(with_faces.manifest.faces, file_calibration=None))
    assert zero_point_ms(windows_only, "face") == -7.0
    assert zero_point_ms(replace(plain.manifest, calibration=None), "whole") == 0.0


def test_every_path_is_a_method(plain: Bundle, with_faces: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each path is asked by name; a face path whose curve is empty found no face, which is no answer of `auto`."""
    asked: list[Any] = []

    def score_file(file: Path, bundle: Bundle, options: ScoringOptions) -> Any:
        path = options.path
        asked.append((options.window_seconds, path))
        similarity = np.full(5, np.nan) if path == "face" else np.exp(-((LAGS_MS / 60) ** 2))
        verdict = SimpleNamespace(
            audio_offset_ms=None if path == "face" else 3.0,
            is_measured=path != "face",
            confidence=None if path == "face" else 0.9,
            path="face" if path == "face" else "whole",
            curve=Curve(LAGS_MS, similarity, np.empty((0, 5)), 50, np.full(5, 50)),
        )
        return SimpleNamespace(summary=SimpleNamespace(score=verdict))

    monkeypatch.setattr("cavsync.evaluate.sync.judges.score_file", score_file)
    judges = bundle_judges({"plain": plain, "both": with_faces}, window_seconds=2.0)
    found = {name: answer for judge in judges for name, answer in judge(Path("clip.mp4"), False).items()}
    assert list(found) == ["plain", "both, auto", "both, face", "both, whole"]
    assert asked == [(2.0, path) for path in ("whole", "auto", "face", "whole")]
    assert [answer.has_face for answer in found.values()] == [True, True, False, True]
    assert (found["both, face"].path, found["both, face"].decided) == ("face", False)
    assert found["both, auto"].two_choice(0.0, 50.0) == 1.0
    assert np.isnan(found["both, face"].two_choice(0.0, 50.0))
