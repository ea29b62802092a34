"""The model that comes along: small, licensed, and good on clips that nobody has seen."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cavsync.cli.main import main
from cavsync.data.synth import draw_specs, generate, read_truth
from cavsync.deploy import Bundle, SyncScorer, score_file
from cavsync.deploy.runtime.default_bundle import default_bundle

MAX_BYTES = 20_000_000


def test_it_is_small_and_says_what_it_is() -> None:
    """At most 20 MB, calibrated on both paths, with the licences of all its parts and what was measured."""
    folder = default_bundle()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= MAX_BYTES
    manifest = Bundle.open(folder).manifest
    assert manifest.calibration is not None
    assert manifest.faces is not None
    assert manifest.faces.calibration is not None
    assert manifest.faces.file_calibration is not None
    assert manifest.faces.licences["finder"] == "Apache-2.0"
    assert {"FACES_LICENSE", "FACES_NOTICE", "face_parity.json"} <= manifest.files.keys()
    for word in ("CC BY 4.0", "GRID", "HDTF"):
        assert word in manifest.weights_licence
        assert word in manifest.faces.licences["encoders"]
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in (
        "## Measured",
        "motion against loudness",
        "random-weights",
        "models/train_whole_picture.py",
        "models/train_sync_face.py",
    ):
        assert words in card


@pytest.mark.slow
def test_it_finds_the_offsets_of_unseen_clips(tmp_path: Path) -> None:
    """Generated clips of a seed that no one else uses, offsets in ±800 ms: within 100 ms, with the right sign."""
    generate(tmp_path, draw_specs(8, 70_707, max_offset_ms=800.0, speech="synthetic"), workers=1)
    bundle = Bundle.open(default_bundle())
    errors = []
    for truth in read_truth(tmp_path):
        found = score_file(tmp_path / truth["file"], bundle).summary.score
        assert found.audio_offset_ms is not None
        errors.append(abs(found.audio_offset_ms - truth["audio_offset_ms"]))
    assert sorted(errors)[6] <= 100
    assert sorted(errors)[4] <= 40


def test_nothing_needs_to_be_named(tmp_path: Path) -> None:
    """`cavsync score clip.mp4`, and a scorer without a path."""
    generate(tmp_path, draw_specs(1, 70_708, families=["impacts"], plain=True, speech="synthetic"), workers=1)
    clip = next(tmp_path.glob("*.mp4"))
    done = CliRunner().invoke(main, ["score", str(clip), "--json", "-"])
    assert done.exit_code == 0, done.output
    assert '"sync-tiny"' in done.stdout
    assert SyncScorer.from_bundle().bundle.manifest.name == "sync-tiny"
