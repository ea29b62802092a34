"""A face run joined to a bundle: what is added, what stays to the byte, and what is refused."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from exported import exported, lively_run
from face_runs import face_model, write_face_run
from talking_clips import write_talking_clips

from cavsync.cli.main import main
from cavsync.data.faces.footage_offsets import FaceOffsets, GroupOffset
from cavsync.deploy import Bundle, score_file
from cavsync.deploy.faces.graphs import FACE_GRAPHS, default_folder, default_graph
from cavsync.errors import BundleError, CheckpointError, ConfigError, ExportError
from cavsync.export.faces import encoders
from cavsync.export.faces.bundle import add_face_path
from cavsync.export.faces.card import FACE_TITLE
from cavsync.manifest import MANIFEST_NAME, Manifest, read_manifest, sha256_file
from cavsync.model.face_sync import NUM_FRAMES, SEGMENT_FRAMES, FaceSync
from cavsync.run import RunFolder

ENCODERS = {"face_frame_encoder.onnx", "face_visual_encoder.onnx", "face_audio_encoder.onnx"}
ADDED = ENCODERS | {graph.file for graph in FACE_GRAPHS} | {"FACES_LICENSE", "FACES_NOTICE", "face_parity.json"}
CHANGED = {"MODEL_CARD.md", MANIFEST_NAME}


@pytest.fixture(scope="module")
def base() -> Path:
    return exported("fp32")


@pytest.fixture(scope="module")
def face_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_run(tmp_path_factory.mktemp("face") / "run")


@pytest.fixture(scope="module")
def joined(base: Path, face_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uncalibrated bundle with a face path."""
    out = tmp_path_factory.mktemp("joined") / "bundle"
    add_face_path(face_run, base, out, calibration_clips=[], weights_licence="CC0-1.0")
    return out


@pytest.fixture(scope="module")
def faceless(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey clips, in which the face finder sees no face."""
    folder = write_talking_clips(tmp_path_factory.mktemp("grey"), 4)
    return sorted(folder.glob("*.mkv"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_of_the_bundle_stay_and_those_of_the_face_path_are_added(base: Path, joined: Path) -> None:
    before, after = contents(base), contents(joined)
    assert set(after) - set(before) == ADDED
    assert set(before) <= set(after)
    assert {name for name, data in before.items() if after[name] != data} == CHANGED
    for graph in FACE_GRAPHS:
        assert after[graph.file] == default_graph(graph.file).read_bytes()
    assert after["FACES_LICENSE"] == (default_folder() / "LICENSE").read_bytes()
    assert after["FACES_NOTICE"] == (default_folder() / "NOTICE").read_bytes()


def test_the_manifest_says_what_was_added(base: Path, joined: Path, face_run: Path) -> None:
    """Every file is hashed, the source is named, and all that was there before is said as before."""
    manifest, before = read_manifest(joined), read_manifest(base)
    assert set(manifest.files) == set(contents(joined)) - {MANIFEST_NAME}
    faces = manifest.faces
    assert faces is not None
    assert (faces.num_frames, faces.segment_frames, faces.frame_rate_hz) == (NUM_FRAMES, SEGMENT_FRAMES, 25.0)
    assert faces.licences == {"encoders": "CC0-1.0", "finder": "Apache-2.0"}
    weights = face_run / "checkpoints" / "step-7" / "model.safetensors"
    assert faces.source["weights_sha256"] == sha256_file(weights)
    assert (faces.source["run"], faces.source["step"]) == (face_run.name, 7)
    assert (faces.calibration, faces.file_calibration) == (None, None)
    old, new = (json.loads((folder / MANIFEST_NAME).read_text()) for folder in (base, joined))
    assert set(new) - set(old) == {"faces"}
    assert {name for name, value in old.items() if new[name] != value} == {"files", "digest"}
    unchanged = set(old["files"]) - CHANGED
    assert {name: new["files"][name] for name in unchanged} == {name: old["files"][name] for name in unchanged}
    assert before.faces is None


def test_the_card_has_a_section_and_parity_a_file(base: Path, joined: Path) -> None:
    card, before = ((folder / "MODEL_CARD.md").read_text() for folder in (joined, base))
    text, title, section = card.partition(FACE_TITLE)
    assert title
    assert text.rstrip() == before.rstrip()
    for word in ("CC0-1.0", "Apache-2.0", "FACES_LICENSE", "step 7", "Not calibrated"):
        assert word in section
    rows = json.loads((joined / "face_parity.json").read_text())["outputs"]
    assert [row["output"] for row in rows] == ["encoded", "embedding", "embedding"]
    assert all(row["passed"] for row in rows)


def test_the_offsets_of_the_footage_stand_in_manifest_and_card(base: Path, joined: Path, tmp_path: Path) -> None:
    """If they were removed before the exported step; a run that removed none says so."""
    run = write_face_run(tmp_path / "run")
    groups = {"a|b": GroupOffset(audio_offset_ms=-41.5, clips=4), "c": GroupOffset(audio_offset_ms=0.0, clips=2)}
    FaceOffsets(step=3, groups=groups).write(RunFolder(run).face_offsets_file)
    add_face_path(run, base, tmp_path / "bundle", calibration_clips=[])
    faces = read_manifest(tmp_path / "bundle").faces
    assert faces is not None
    found = {"step": 3, "groups": {name: group.model_dump() for name, group in groups.items()}}
    assert faces.source["footage_offsets"] == found
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "measured by the model itself and removed after step\n3 (positive: audio early)" in card
    assert "| a\\|b | 4 | -41.5 ms |" in card
    assert "| c | 2 | 0 |" in card
    FaceOffsets(step=7, groups=groups).write(RunFolder(run).face_offsets_file)
    add_face_path(run, base, tmp_path / "bundle", calibration_clips=[], overwrite=True)
    late, without = read_manifest(tmp_path / "bundle").faces, read_manifest(joined).faces
    for spec, folder in ((late, tmp_path / "bundle"), (without, joined)):
        assert spec is not None
        assert "footage_offsets" not in spec.source
        assert "The training footage was used unchanged" in (folder / "MODEL_CARD.md").read_text()


def test_the_graphs_compute_what_the_model_does(joined: Path) -> None:
    """Features of frames and log-mel that no export has seen, through all three graphs."""
    random, model = np.random.default_rng(11), face_model()
    features = np.concatenate(
        [
            model.landmark_mean.numpy() + random.normal(0, 0.05, (NUM_FRAMES + 2, len(model.landmark_mean))),
            random.uniform(0, 255, (NUM_FRAMES + 2, 48 * 48)),
        ],
        axis=1,
    ).astype(np.float32)
    log_mel = random.normal(-5, 4, (1, SEGMENT_FRAMES + 9, 128)).astype(np.float32)
    encoded = run_graph(joined / "face_frame_encoder.onnx", features)
    visual = run_graph(joined / "face_visual_encoder.onnx", encoded[None])
    audio = run_graph(joined / "face_audio_encoder.onnx", log_mel)
    with torch.no_grad():
        wanted = model(torch.from_numpy(features)[None], torch.from_numpy((log_mel + 5.081) / 4.4849))
    assert (visual.shape[1], audio.shape[1]) == (3, 3)
    np.testing.assert_allclose(visual, wanted[0], atol=1e-5)
    np.testing.assert_allclose(audio, wanted[1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(audio, axis=-1), 1, atol=1e-5)


def run_graph(path: Path, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: values})
    return np.asarray(found)


def test_a_face_path_is_replaced_as_if_it_had_not_been(
    base: Path, joined: Path, face_run: Path, tmp_path: Path
) -> None:
    """Over another one, in another folder or in place: the bytes of joining the bundle without one."""
    other = tmp_path / "other"
    add_face_path(write_face_run(tmp_path / "run", seed=1), base, other, calibration_clips=[], storage="half")
    assert contents(other)["face_audio_encoder.onnx"] != contents(joined)["face_audio_encoder.onnx"]
    options: dict[str, Any] = {"calibration_clips": [], "weights_licence": "CC0-1.0"}
    add_face_path(face_run, other, tmp_path / "again", **options)
    assert contents(tmp_path / "again") == contents(joined)
    add_face_path(face_run, other, other, overwrite=True, **options)
    assert contents(other) == contents(joined)


@pytest.mark.parametrize("storage", ["half", "int8"])
def test_weights_are_stored_compactly(storage: Any, base: Path, joined: Path, face_run: Path, tmp_path: Path) -> None:
    add_face_path(face_run, base, tmp_path / "bundle", calibration_clips=[], storage=storage)
    for name in ENCODERS:
        assert (tmp_path / "bundle" / name).stat().st_size < (joined / name).stat().st_size


def test_a_bundle_without_faces_has_the_bytes_that_it_had(base: Path, joined: Path) -> None:
    """Its manifest does not mention them, and that of a joined bundle without its entry is read like any other."""
    manifest = read_manifest(base)
    assert manifest.to_bytes() == (base / MANIFEST_NAME).read_bytes()
    assert b"faces" not in manifest.to_bytes()
    content = json.loads((joined / MANIFEST_NAME).read_text())
    # What a reader that does not know the entry sees.
    assert {name: content[name] for name in content if name not in ("faces", "files", "digest")} == {
        name: value
        for name, value in json.loads((base / MANIFEST_NAME).read_text()).items()
        if name not in ("files", "digest")
    }
    assert isinstance(read_manifest(joined), Manifest)


@pytest.mark.parametrize("name", sorted(ADDED))
def test_a_changed_file_is_refused(name: str, joined: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(joined, tmp_path / "bundle"))
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        Bundle.open(folder, threads=1)
    with pytest.raises(BundleError, match=name):
        add_face_path(tmp_path / "no-run", folder, tmp_path / "out")


def test_a_graph_that_departs_leaves_nothing(
    base: Path, face_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Graphs of other weights than the model's fail, and there is no folder."""
    written = encoders.reference_outputs

    def of_another_model(name: str, model: FaceSync, values: np.ndarray) -> np.ndarray:
        return written(name, face_model(5), values)

    monkeypatch.setattr(encoders, "reference_outputs", of_another_model)
    with pytest.raises(ExportError, match="face_"):
        add_face_path(face_run, base, tmp_path / "out", calibration_clips=[])
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_what_cannot_be_joined(base: Path, face_run: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied" / "letter.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="exists and is not a bundle"):
            add_face_path(face_run, base, tmp_path / "occupied", calibration_clips=[], overwrite=overwrite)
    assert contents(tmp_path / "occupied") == {"letter.txt": b"mine"}
    with pytest.raises(ConfigError, match="overwrite"):
        add_face_path(face_run, base, base, calibration_clips=[])
    with pytest.raises(BundleError):
        add_face_path(face_run, tmp_path / "none", tmp_path / "out", calibration_clips=[])
    with pytest.raises(CheckpointError, match="holds no face model"):
        add_face_path(lively_run(), base, tmp_path / "out", calibration_clips=[])
    with pytest.raises(CheckpointError):
        add_face_path(face_run, base, tmp_path / "out", step=3, calibration_clips=[])
    held_out = write_face_run(tmp_path / "run")
    (held_out / "held_out.json").write_text(json.dumps({"clips": ["/nowhere/clip.mp4"]}))
    with pytest.raises(CheckpointError, match=r"clip\.mp4, which the run held out"):
        add_face_path(held_out, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def cli(*words: object) -> tuple[int, str]:
    found = CliRunner().invoke(main, ["export", *map(str, words)])
    assert "Traceback" not in found.output
    return found.exit_code, " ".join(found.output.split())


@pytest.mark.parametrize(
    "words",
    [
        ["--trt", "rtx"], ["--precision", "fp16"], ["--precision", "int8"], ["--triton-repo", "models"],
        ["--labels", "labels.csv"], ["--name", "mine"], ["--dry-run"], ["--batch", "1,8,64"],
        ["--compute-capability", "89"], ["--timing-cache", "cache"],
    ],
)  # fmt: skip
def test_options_of_other_models_are_refused(words: list[str], base: Path, face_run: Path, tmp_path: Path) -> None:
    status, text = cli(face_run, "--bundle", base, "--out", tmp_path / "out", "--calibration", "none", *words)
    assert status == 2
    assert f"{words[0]} is not for a face model" in text
    assert list(tmp_path.iterdir()) == []


def test_the_command(base: Path, joined: Path, face_run: Path, tmp_path: Path) -> None:
    """It needs a bundle, writes what the function writes, and says so; a run of another kind has no face path."""
    out = tmp_path / "out"
    status, text = cli(face_run, "--out", out)
    assert status == 2
    assert "name one with --bundle" in text
    common = ("--bundle", base, "--out", out, "--calibration", "none")
    status, text = cli(lively_run(), *common)
    assert status == 1
    assert "holds no face model" in text
    assert not out.exists()
    status, text = cli(face_run, *common, "--weights-licence", "CC0-1.0")
    assert status == 0, text
    assert "not calibrated" in text
    assert contents(out) == contents(joined)
    status, text = cli(face_run, *common)
    assert status == 2
    assert "overwrite" in text
    assert contents(out) == contents(joined)


def test_clips_without_a_face_leave_it_uncalibrated(
    base: Path, face_run: Path, faceless: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With a warning for each and for all; every decision of the face path is undetermined."""
    with caplog.at_level(logging.WARNING):
        manifest, _ = add_face_path(face_run, base, tmp_path / "out", calibration_clips=faceless)
    warnings = [record.getMessage() for record in caplog.records]
    assert sum("shows no face" in text for text in warnings) == len(faceless)
    assert any("0 clips with a face are too few" in text for text in warnings)
    assert manifest.faces is not None
    assert (manifest.faces.calibration, manifest.faces.file_calibration) == (None, None)
    assert "Not calibrated" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    found = score_file(faceless[0], Bundle.open(tmp_path / "out", threads=1), path="face")
    scores = [found.summary.score, *found.records]
    assert {(score.path, score.state, score.audio_offset_ms) for score in scores} == {("face", "undetermined", None)}
