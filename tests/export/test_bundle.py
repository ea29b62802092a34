"""An export is a bundle that proves itself, or nothing at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from generated_clips import make_clips
from small_models import TUBELETS, small_inputs, small_model

from cavsync import atomic
from cavsync.cli.main import main
from cavsync.deploy import Bundle, score_file
from cavsync.errors import BundleError, CheckpointError, ConfigError, ExportError
from cavsync.export import export_bundle
from cavsync.export import graphs as graphs_module
from cavsync.manifest import read_manifest
from cavsync.model.checkpoint import load_model, save_model

FILES = {
    "manifest.json",
    "MODEL_CARD.md",
    "parity.json",
    "audio_frontend.onnx",
    "audio_encoder.onnx",
    "visual_encoder.onnx",
}


@pytest.fixture(scope="module")
def bundle_dir(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uncalibrated bundle of the shared run."""
    out = tmp_path_factory.mktemp("out") / "bundle"
    export_bundle(run_dir, out, calibration_clips=[])
    return out


@pytest.fixture(scope="module")
def five_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uncalibrated bundle, beside its run, of a model of five frames with trained-looking batch statistics."""
    folder = tmp_path_factory.mktemp("five")
    model = small_model(**{**TUBELETS, "num_frames": 5})
    model.train()
    fbank, frames = small_inputs(model.config)
    with torch.no_grad():
        model.encode_audio(fbank)
        model.encode_frames(frames)
    save_model(model, folder / "run", 0)
    export_bundle(folder / "run", folder / "bundle", calibration_clips=[])
    return folder / "bundle"


def left_in(folder: Path) -> set[str]:
    """Names in a folder, hidden ones included."""
    return {path.name for path in folder.iterdir()}


def test_files_and_facts(bundle_dir: Path, run_dir: Path) -> None:
    """All promised files are there and hashed; parity passed; the graphs carry metadata."""
    assert left_in(bundle_dir) == FILES
    manifest = read_manifest(bundle_dir)
    assert set(manifest.files) == FILES - {"manifest.json"}
    assert manifest.source["step"] == 3
    assert manifest.source["run"] == run_dir.name
    rows = json.loads((bundle_dir / "parity.json").read_text())["outputs"]
    # Two of them of the visual encoder after folding.
    assert len(rows) == 7
    assert all(row["passed"] for row in rows)
    graph = onnx.load(str(bundle_dir / "audio_encoder.onnx"))
    assert {item.key for item in graph.metadata_props} >= {"role", "cavsync_version", "fingerprint"}
    # Nothing of the machine that exported.
    assert str(Path(graphs_module.__file__).parent).encode() not in (bundle_dir / "audio_encoder.onnx").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"cls_token": False, "num_register_tokens": 0, "norm_pix_loss": True}])
def test_single_frame_models(options: dict[str, bool], tmp_path: Path) -> None:
    """Upstream's shapes, T = 1: any batch gives what PyTorch gives."""
    model = small_model(**options).eval()
    save_model(model, tmp_path / "run", 0)
    export_bundle(tmp_path / "run", tmp_path / "bundle", calibration_clips=[])
    session = onnxruntime.InferenceSession(str(tmp_path / "bundle" / "visual_encoder.onnx"))
    frames = np.random.default_rng(0).integers(0, 256, (5, 1, 48, 48, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = ((frames / 255 - mean) / std).transpose(0, 1, 4, 2, 3).astype(np.float32)
    with torch.no_grad():
        want = torch.nn.functional.normalize(model.encode_frames(torch.from_numpy(normalised[:, 0])).pooled).numpy()
    for batch in (1, 5):
        got = session.run(["embedding"], {"frames": frames[:batch]})[0]
        np.testing.assert_allclose(got, want[:batch], atol=2e-5)


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_byte_is_refused(name: str, run_dir: Path, bundle_dir: Path, tmp_path: Path) -> None:
    """Whatever file it is in."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in bundle_dir.iterdir():
        data = bytearray(path.read_bytes())
        if path.name == name:
            data[len(data) // 2] ^= 1
        (copy / path.name).write_bytes(data)
    with pytest.raises(BundleError):
        Bundle.open(copy)


def test_broken_graph_is_caught_and_leaves_nothing(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mean and deviation of the frames swapped: parity names the visual encoder, and there is no bundle."""
    monkeypatch.setattr(graphs_module, "IMAGENET_MEAN", graphs_module.IMAGENET_STD)
    with pytest.raises(ExportError, match="visual_encoder"):
        export_bundle(run_dir, tmp_path / "bundle", calibration_clips=[])
    assert left_in(tmp_path) == set()


def test_interrupted_export_leaves_nothing(run_dir: Path, tmp_path: Path) -> None:
    """Ctrl-C while parity is checked."""

    def stop(stage: str) -> None:
        if stage.startswith("checking parity"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(run_dir, tmp_path / "bundle", calibration_clips=[], on_stage=stop)
    assert left_in(tmp_path) == set()


@pytest.mark.slow
def test_existing_folders(run_dir: Path, tmp_path: Path) -> None:
    """A bundle is replaced only when asked, anything else never."""
    out = tmp_path / "bundle"
    out.mkdir()
    export_bundle(run_dir, out, calibration_clips=[], name="first")
    with pytest.raises(ConfigError, match="--overwrite"):
        export_bundle(run_dir, out, calibration_clips=[])
    export_bundle(run_dir, out, calibration_clips=[], name="second", overwrite=True)
    assert read_manifest(out).name == "second"
    assert left_in(tmp_path) == {"bundle"}
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(ConfigError, match="not a bundle"):
        export_bundle(run_dir, tmp_path / "letters", overwrite=True)
    assert (tmp_path / "letters" / "a.txt").read_text() == "dear"


def test_a_manifest_of_something_else_is_not_replaced(run_dir: Path, tmp_path: Path) -> None:
    """Other programs call their files manifest.json too."""
    out = tmp_path / "extension"
    out.mkdir()
    (out / "manifest.json").write_text('{"manifest_version": 3}')
    with pytest.raises(ConfigError, match="not a bundle"):
        export_bundle(run_dir, out, calibration_clips=[], overwrite=True)
    assert (out / "manifest.json").read_text() == '{"manifest_version": 3}'


@pytest.mark.slow
def test_failed_swap_keeps_the_old_bundle(
    run_dir: Path, bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the old bundle was moved aside and before the new one is in place."""
    out = tmp_path / "bundle"
    shutil.copytree(bundle_dir, out)
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if target == out and path.name != "old":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    # As on systems that cannot exchange two folders in one step.
    monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    with pytest.raises(KeyboardInterrupt):
        export_bundle(run_dir, out, calibration_clips=[], name="second", overwrite=True)
    assert Bundle.open(out).manifest.name == run_dir.name
    assert left_in(tmp_path) == {"bundle"}


@pytest.mark.parametrize("batch", [1, 3])
def test_tubelets_of_five(batch: int, five_frames: Path) -> None:
    """T = 5 with every option of the small sync models: both encoders give what PyTorch gives, at any batch."""
    model = load_model(five_frames.parent / "run").eval()
    random = np.random.default_rng(batch)
    audio = random.normal(-5, 4, (batch, 80, 128)).astype(np.float32)
    frames = random.integers(0, 256, (batch, 5, 48, 48, 3), dtype=np.uint8)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = ((frames / 255 - mean) / std).transpose(0, 1, 4, 2, 3).astype(np.float32)
    with torch.no_grad():
        heard = model.encode_audio(torch.from_numpy((audio + np.float32(5.081)) / np.float32(4.4849)))
        seen = model.encode_frames(torch.from_numpy(normalised))
    cases = (("audio_encoder", "log_mel", audio, heard), ("visual_encoder", "frames", frames, seen))
    for graph, name, array, want in cases:
        session = onnxruntime.InferenceSession(str(five_frames / f"{graph}.onnx"))
        embedding, patches = session.run(["embedding", "patches"], {name: array})
        np.testing.assert_allclose(embedding, torch.nn.functional.normalize(want.pooled).numpy(), atol=2e-5)
        np.testing.assert_allclose(patches, want.patches.numpy(), atol=1e-4)


@pytest.mark.slow
def test_encoders_leave_the_decoder_behind(tmp_path: Path) -> None:
    """A model with a decoder gives a graph with as many weights as one without."""
    sizes = []
    for has_decoder in (True, False):
        stage = graphs_module.stages(small_model(has_decoder=has_decoder))["visual_encoder"]
        graph = onnx.load(str(graphs_module.write_graph(stage, tmp_path, {}))).graph
        sizes.append(sum(int(np.prod(tensor.dims)) for tensor in graph.initializer))
    assert sizes[0] == sizes[1]


def test_unknown_precision_is_refused(run_dir: Path, tmp_path: Path) -> None:
    """Before anything is read or written."""
    with pytest.raises(ConfigError, match="fp32"):
        export_bundle(run_dir, tmp_path / "bundle", precision="fp7")
    assert left_in(tmp_path) == set()


def test_missing_run_and_held_out_clips(run_dir: Path, tmp_path: Path) -> None:
    """One sentence each."""
    with pytest.raises(CheckpointError, match="is not a run"):
        export_bundle(tmp_path / "none", tmp_path / "bundle")
    save_model(small_model(), tmp_path / "run", 0)
    (tmp_path / "run" / "held_out.json").write_text('{"clips": ["gone.mp4"]}')
    with pytest.raises(CheckpointError, match=r"gone\.mp4.*--calibration"):
        export_bundle(tmp_path / "run", tmp_path / "bundle")


def test_uncalibrated_bundle_says_so(bundle_dir: Path, tmp_path: Path) -> None:
    """It scores, and every decision is undetermined for that reason."""
    clips = make_clips(tmp_path / "clips", 1, duration_seconds=4.0)
    score = score_file(next(clips.glob("*.mp4")), Bundle.open(bundle_dir)).summary.score
    assert score.state == "undetermined"
    assert score.confidence is None
    assert "calibrated" in str(score.reason)


@pytest.mark.slow
def test_command(run_dir: Path, tmp_path: Path) -> None:
    """`cavsync export` writes a calibrated or an honest uncalibrated bundle; an occupied folder is bad usage."""
    clips = make_clips(tmp_path / "clips", 4, duration_seconds=4.0)
    arguments = ["export", str(run_dir), "--out", str(tmp_path / "bundle"), "--calibration", str(clips)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert Bundle.open(tmp_path / "bundle").manifest.name == run_dir.name
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "--overwrite" in again.output
    assert "Traceback" not in again.output
