"""The whole-clip graph of a classifier: it gives the model's logits, or there is no bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from exported import lively_model, lively_run
from generated_clips import make_clips
from google.protobuf import text_format
from hostile import put, swap_middle_byte, write
from small_models import classifier_of, small_model
from tritonclient.grpc import model_config_pb2 as pb

from cavsync.cli.main import main
from cavsync.data.sources.classes import ClassLabels
from cavsync.deploy import Bundle, score_file
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.errors import ExportError
from cavsync.evaluate.classify.classifier import open_classifier
from cavsync.export import artefacts, export_bundle
from cavsync.export import classifier as classifier_module
from cavsync.export.classifier import Classifier, classifier_stage
from cavsync.export.graphs import GraphStage, write_graph
from cavsync.export.parity import Reference
from cavsync.export.runners import open_runner
from cavsync.export.samples import noise, sample_sets
from cavsync.export.triton_repository import write_triton_repository
from cavsync.manifest import CLASSIFIER, MANIFEST_NAME, read_manifest
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT, MODES
from cavsync.model.load import load_any

CLASSES = ["drummer", "face", "impacts", "keys, typed", "silence"]
CSV = 'index,mid,display_name\n0,/m/0,drummer\n1,/m/1,face\n2,/m/2,impacts\n3,/m/3,"keys, typed"\n4,/m/4,silence\n'
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def save_classifier(run: Path, mode: str | None, model: CAVMAEFT) -> Path:
    """A run as `cavsync train` leaves it, or as `cavsync convert` does where no mode is known."""
    if mode is None:
        save_model(model, run, 0, source={"file": "x.pth", "sha256": "0" * 64})
    else:
        classify = {"mode": mode, "target": "single-label"}
        save_model(model, run, 2, train={"preset": "test", "seed": 0, "classify": classify})
        ClassLabels.of_names(CLASSES).write(run / "class_labels.csv")
    return run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multimodal classifier of five classes with the attention head."""
    torch.manual_seed(1)
    model = classifier_of(lively_model(), len(CLASSES), "attention")
    return save_classifier(tmp_path_factory.mktemp("classifier") / "run", "multimodal", model)


@pytest.fixture(scope="module")
def written(run_dir: Path) -> dict[str, bytes]:
    """Graphs of that run by their file, as far as they were exported."""
    return {}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, written: dict[str, bytes]) -> None:
    """Graphs of the run are exported once; a terminal that breaks no line."""

    def remembered(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
        file = stage.spec.file
        if file not in written:
            written[file] = write_graph(stage, folder, metadata, opset).read_bytes()
        (folder / file).write_bytes(written[file])
        return folder / file

    monkeypatch.setattr(artefacts, "write_graph", remembered)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def bundle_dir(run_dir: Path, quick: None) -> Path:
    """An uncalibrated bundle of the run, exported by the first test that wants it and never changed."""
    out = run_dir.parent / "bundle"
    if not out.exists():
        export_bundle(run_dir, out, calibration_clips=[])
    return out


def cavsync(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(result: Result, status: int) -> str:
    """The last line of what a command that fails says."""
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("batch", [1, 4])
def test_the_graph_gives_the_models_logits(batch: int, run_dir: Path, bundle_dir: Path) -> None:
    """Its inputs normalised by hand, through the model itself."""
    random = np.random.default_rng(batch)
    audio = random.normal(-5, 4, (batch, 80, 128)).astype(np.float32)
    frames = random.integers(0, 256, (batch, 3, 48, 48, 3), dtype=np.uint8)
    normalised = ((frames / 255 - MEAN) / STD).transpose(0, 1, 4, 2, 3).astype(np.float32)
    with torch.no_grad():
        want = load_any(run_dir).eval()(
            torch.from_numpy((audio - np.float32(-5.081)) / np.float32(4.4849)), torch.from_numpy(normalised)
        )
    session = onnxruntime.InferenceSession(str(bundle_dir / "classifier.onnx"))
    (got,) = session.run(["logits"], {"log_mel": audio, "frames": frames})
    assert got.shape == (batch, len(CLASSES))
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5 * float(want.abs().max()))


def test_the_manifest_says_what_it_is(bundle_dir: Path) -> None:
    manifest = read_manifest(bundle_dir)
    found = manifest.classifier
    assert found is not None
    assert (found.classes, found.target) == (CLASSES, "single-label")
    assert [tensor.shape for tensor in found.graph.inputs] == [["batch", 80, 128], ["batch", 3, 48, 48, 3]]
    assert "classifier.onnx" in manifest.files
    rows = json.loads((bundle_dir / "parity.json").read_text())["outputs"]
    (row,) = [row for row in rows if row["output"] == "logits"]
    assert row["passed"]
    assert row["artefact"] == "classifier, float32"
    card = (bundle_dir / "MODEL_CARD.md").read_text()
    assert "`classifier.onnx` computes the logits of 5 classes from log_mel and frames" in card
    assert "Their softmax is the probabilities." in card


def test_bundles_without_one_are_written_as_before() -> None:
    """To the byte: what other versions read stays what it was."""
    manifest = read_manifest(default_bundle())
    assert manifest.classifier is None
    assert CLASSIFIER not in manifest.graphs
    assert manifest.to_bytes() == (default_bundle() / MANIFEST_NAME).read_bytes()


@pytest.mark.parametrize(
    ("mode", "changes", "inputs"),
    [
        ("audio-only", {}, ["log_mel"]),
        ("visual-only", {}, ["frames"]),
        (None, {"chain_joint_blocks": True, "num_register_tokens": 0}, ["log_mel", "frames"]),
    ],
)
def test_it_takes_what_it_was_trained_on(
    mode: str | None, changes: dict[str, Any], inputs: list[str], tmp_path: Path
) -> None:
    """One frame, the linear head; and the authors' own kind, of which no mode is known."""
    model = classifier_of(small_model(has_decoder=False, **changes), len(CLASSES))
    run = save_classifier(tmp_path / "run", mode, model)
    (tmp_path / "classes.csv").write_text(CSV)
    opened = open_classifier(run, None if mode else tmp_path / "classes.csv")
    stage = classifier_stage(opened)
    assert [tensor.name for tensor in stage.spec.inputs] == inputs
    path = write_graph(stage, tmp_path, {})
    config = opened.model.config
    trained = next(known for known in MODES if known == (mode or "multimodal"))
    reference = Reference.of(opened.model, sample_sets(config, []).compare, noise(config), trained)  # type: ignore[arg-type]
    (result,) = reference.check("it", "classifier", open_runner(path, "onnxruntime"), "fp32")
    assert result.passed, result
    assert result.max_abs_error > 0
    with torch.no_grad():
        audio = (torch.from_numpy(reference.inputs["audio_encoder"]["log_mel"]) + 5.081) / 4.4849
        images = reference.inputs["visual_encoder"]["frames"]
        frames = torch.from_numpy(((images / 255 - MEAN) / STD).transpose(0, 1, 4, 2, 3).astype(np.float32))
        want = opened.model(audio, frames[:, 0], trained).numpy()
    np.testing.assert_allclose(reference.outputs["classifier"][0], want, atol=1e-5)


def _swapped(self: Classifier, frames: torch.Tensor) -> torch.Tensor:
    return (frames.float().permute(0, 1, 4, 2, 3).flip(2) - self.mean) / self.std


@pytest.mark.parametrize(
    ("place", "name", "change", "layer"),
    [
        (classifier_module, "normalise", lambda log_mel: log_mel, "patch_embed_a.proj"),
        pytest.param(Classifier, "normalised", _swapped, "patch_embed_v.proj", marks=pytest.mark.slow),
    ],
    ids=["audio that is not normalised", "channels in the wrong order"],
)
def test_a_broken_one_is_caught_and_leaves_nothing(
    place: Any,
    name: str,
    change: Any,
    layer: str,
    run_dir: Path,
    written: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It begins before the first layer, which is named."""
    monkeypatch.setattr(place, name, change)
    monkeypatch.setattr(artefacts, "write_graph", _spoilt(written))
    with pytest.raises(ExportError) as caught:
        export_bundle(run_dir, tmp_path / "bundle", calibration_clips=[])
    assert "the exported classifier, float32 does not compute" in str(caught.value)
    assert f"it departs before {layer}, whose input is off by" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def _spoilt(written: dict[str, bytes]) -> Any:
    """Exports the classifier as it is now; the other graphs are those of before."""

    def export(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
        file = stage.spec.file
        if file in written and file != "classifier.onnx":
            (folder / file).write_bytes(written[file])
            return folder / file
        return write_graph(stage, folder, metadata, opset)

    return export


def test_it_scores_by_its_encoders(bundle_dir: Path, tmp_path: Path) -> None:
    """Uncalibrated, as every bundle without clips."""
    clips = make_clips(tmp_path / "clips", 1, duration_seconds=4.0)
    score = score_file(next(clips.glob("*.mp4")), Bundle.open(bundle_dir, threads=1)).summary.score
    assert (score.state, score.confidence) == ("undetermined", None)
    assert score.time_seconds == pytest.approx(4.0, abs=0.1)


def test_show_and_verify(bundle_dir: Path) -> None:
    shown = cavsync("bundle", "show", bundle_dir)
    assert "classifier.onnx: log_mel float32[batch, 80, 128], frames uint8[batch, 3, 48, 48, 3] -> " in shown.stdout
    assert "5, single-label: drummer; face; impacts; keys, typed; silence" in shown.stdout
    verified = cavsync("bundle", "verify", bundle_dir, "--threads", 1)
    assert verified.exit_code == 0, verified.output
    assert "audio_frontend, audio_encoder, visual_encoder, classifier open in ONNX Runtime" in verified.stdout


@pytest.mark.parametrize(
    ("attack", "sentence"),
    [
        (put("classifier", "classes", value=CLASSES[1:]), "names 4 classes and declares logits of shape ['batch', 5]"),
        (
            put("classifier", "classes", value="all"),
            "declares classifier.classes = 'all', which should be a valid array",
        ),
        (put("classifier", "target", value="\u202eboth"), "classifier.target = '\\u202eboth', expected multi-label or"),
        (put("classifier", "graph", "inputs", value=[]), "a classifier without the input log_mel or frames"),
        (put("classifier", "graph", "file", value="audio_encoder.onnx"), "audio_encoder.onnx has the inputs log_mel,"),
        (put("classifier", "graph", "file", value="../x.onnx"), "names '../x.onnx' without a hash"),
        (put("classifier", "labels", value=1), "has an unknown entry 'labels' in classifier"),
        (write("classifier.onnx", swap_middle_byte), "classifier.onnx differs from the hash"),
        (lambda folder: (folder / "classifier.onnx").unlink(), "lacks classifier.onnx"),
    ],
)
def test_what_is_not_as_declared_is_refused(attack: Any, sentence: str, bundle_dir: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))
    attack(copy)
    assert sentence in refused(cavsync("bundle", "verify", copy, "--threads", 1), 1)


def test_a_converted_classifier_needs_its_classes(bundle_dir: Path, run_dir: Path, tmp_path: Path) -> None:
    """The same weights without what training notes."""
    run = save_classifier(tmp_path / "run", None, load_any(run_dir))
    (tmp_path / "classes.csv").write_text(CSV)
    arguments = ("export", run, "--out", tmp_path / "out", "--calibration", "none")
    for flags in ([], ["--dry-run"]):
        assert "does not state its classes: give their CSV with --labels" in refused(cavsync(*arguments, *flags), 2)
    (tmp_path / "few.csv").write_text(CSV[: CSV.index("4,")])
    assert "has 5 classes, the vocabulary 4" in refused(cavsync(*arguments, "--labels", tmp_path / "few.csv"), 2)
    done = cavsync(*arguments, "--labels", tmp_path / "classes.csv")
    assert done.exit_code == 0, done.output
    found = read_manifest(tmp_path / "out").classifier
    assert found is not None
    assert (found.classes, found.target) == (CLASSES, None)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "does not state whether their softmax or their sigmoids are the probabilities" in card


def test_a_dry_run_lists_it(run_dir: Path, tmp_path: Path) -> None:
    """With about the size that it gets."""
    done = cavsync("export", run_dir, "--out", tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    (row,) = [line for line in done.stdout.splitlines() if "classifier.onnx" in line]
    weights = sum(value.numel() for value in load_any(run_dir).parameters()) * 4
    assert float(row.split("│")[4].split()[0]) == pytest.approx(weights / 1e6, abs=0.1)
    assert "a classifier of 5 classes, multimodal" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_what_does_not_go_with_it(flags: list[str], run_dir: Path, tmp_path: Path) -> None:
    arguments = ("--out", tmp_path / "out", *flags)
    for wish in (["--precision", "int8"], ["--precision", "fp16"], ["--trt", "rtx"]):
        sentence = refused(cavsync("export", run_dir, *arguments, *wish), 2)
        assert f"holds a classifier, which is exported in fp32 to ONNX only: leave out {wish[0]}" in sentence
    (tmp_path / "classes.csv").write_text(CSV)
    sentence = refused(cavsync("export", lively_run(), *arguments, "--labels", tmp_path / "classes.csv"), 2)
    assert "holds a pretraining model, which has no classes: leave out --labels" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["classes.csv"]


def test_triton_serves_it(bundle_dir: Path, tmp_path: Path) -> None:
    """Beside the others, with both inputs and batches; such a repository is replaced when asked."""
    for overwrite in (False, True):
        write_triton_repository(bundle_dir, tmp_path / "models", max_batch_size=4, overwrite=overwrite)
    folder = tmp_path / "models" / "cavsync_classifier"
    assert (folder / "1" / "model.onnx").read_bytes() == (bundle_dir / "classifier.onnx").read_bytes()
    config = text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())
    assert config.max_batch_size == 4
    assert [(item.name, list(item.dims)) for item in config.input] == [
        ("log_mel", [80, 128]),
        ("frames", [3, 48, 48, 3]),
    ]
    assert [(item.name, list(item.dims)) for item in config.output] == [("logits", [5])]
