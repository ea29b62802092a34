"""Bundles that are missing, changed or inconsistent are refused in one sentence."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_bundle import write_fake_bundle

from cavsync.deploy import Bundle
from cavsync.deploy.runtime import onnx
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import MANIFEST_NAME, Manifest, describe_files, read_manifest

GRAPHS = ["audio_frontend.onnx", "audio_encoder.onnx", "visual_encoder.onnx"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_fake_bundle(tmp_path / "bundle")


def rewrite(folder: Path, manifest: Manifest) -> None:
    """Store a changed manifest with hashes that fit, as an honest but wrong exporter would."""
    files = describe_files(folder, sorted(manifest.files))
    (folder / MANIFEST_NAME).write_bytes(dataclasses.replace(manifest, files=files).to_bytes())


def test_graphs_do_what_the_manifest_says(folder: Path) -> None:
    bundle = Bundle.open(folder, threads=1)
    waveform = np.full(400 + 3 * 160 + 159, 0.5, np.float32)
    log_mel = bundle.log_mel(waveform)
    assert log_mel.shape == (4, 128)
    np.testing.assert_allclose(log_mel, np.log(0.25), rtol=1e-5)
    embedding = bundle.embed_frames(np.zeros((2, 3, 16, 16, 3), np.uint8))
    np.testing.assert_allclose(embedding, [[1, 0], [1, 0]], atol=1e-6)


def test_missing_folder_and_missing_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.open(tmp_path / "nothing")
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.open(tmp_path)
    (folder / GRAPHS[1]).unlink()
    with pytest.raises(BundleError, match="lacks audio_encoder"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", [*GRAPHS, MANIFEST_NAME])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_one_changed_byte_anywhere_is_refused(folder: Path, name: str, place: float) -> None:
    data = bytearray((folder / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(BundleError):
        Bundle.open(folder)


def test_a_file_outside_the_bundle_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    outside.write_bytes((folder / GRAPHS[0]).read_bytes())
    manifest = read_manifest(folder)
    frontend = dataclasses.replace(manifest.audio_frontend, file="../outside.onnx")
    files = {**manifest.files, **describe_files(folder, ["../outside.onnx"])}
    changed = dataclasses.replace(manifest, audio_frontend=frontend, files=files)
    (folder / MANIFEST_NAME).write_bytes(changed.to_bytes())
    with pytest.raises(BundleError, match="should name a plain file inside"):
        Bundle.open(folder)


def test_a_file_that_is_no_graph_is_refused(folder: Path) -> None:
    (folder / GRAPHS[2]).write_bytes(b"this is no protocol buffer")
    rewrite(folder, read_manifest(folder))
    with pytest.raises(BundleError, match="not a usable ONNX graph"):
        Bundle.open(folder)


def test_graphs_that_differ_from_the_manifest_are_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    swapped = dataclasses.replace(
        manifest, audio_encoder=dataclasses.replace(manifest.audio_encoder, file=manifest.visual_encoder.file)
    )
    rewrite(folder, swapped)
    with pytest.raises(BundleError, match="has the inputs frames, the manifest declares log_mel"):
        Bundle.open(folder)
    embedding, patches = manifest.visual_encoder.outputs
    outputs = [embedding, dataclasses.replace(patches, shape=["batch", 99])]
    rewrite(
        folder,
        dataclasses.replace(manifest, visual_encoder=dataclasses.replace(manifest.visual_encoder, outputs=outputs)),
    )
    with pytest.raises(BundleError, match=r"the output patches as .* the manifest declares float32"):
        Bundle.open(folder)


def test_names_and_numbers_that_cannot_be_used_are_refused(folder: Path) -> None:
    manifest = read_manifest(folder)
    renamed = dataclasses.replace(manifest.audio_frontend.outputs[0], name="spectrogram")
    frontend = dataclasses.replace(manifest.audio_frontend, outputs=[renamed])
    width = dataclasses.replace(manifest.audio_encoder.outputs[0], shape=["batch", 3])
    audio = dataclasses.replace(manifest.audio_encoder, outputs=[width, manifest.audio_encoder.outputs[1]])
    assert manifest.calibration is not None
    unknown = dataclasses.replace(manifest.calibration, features=["peak_z", "mood"])
    endless = dataclasses.replace(manifest.calibration, weights=[1.0, float("inf")])
    cases = [
        (dataclasses.replace(manifest, audio_frontend=frontend), "log_mel"),
        (dataclasses.replace(manifest, audio_encoder=audio), "width 3"),
        (dataclasses.replace(manifest, sync=dataclasses.replace(manifest.sync, hop_ms=25.0)), "sync.hop_ms"),
        (dataclasses.replace(manifest, sync=dataclasses.replace(manifest.sync, frame_rate_hz=0)), "frame_rate_hz"),
        (dataclasses.replace(manifest, sync=dataclasses.replace(manifest.sync, window_seconds="4")), "window_seconds"),
        (dataclasses.replace(manifest, calibration=unknown), "calibration.features"),
        (dataclasses.replace(manifest, calibration=endless), "calibration.weights"),
    ]
    for changed, sentence in cases:
        rewrite(folder, changed)
        with pytest.raises(BundleError, match=sentence):
            Bundle.open(folder)


def test_a_provider_that_is_not_there_is_an_error_and_no_fall_back(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"NoSuchExecutionProvider is not available.*CPUExecutionProvider"):
        Bundle.open(folder, providers=["NoSuchExecutionProvider"])


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_what_onnx_runtime_prints_about_cuda_stays_off_stdout(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its libraries are looked for before a session on a GPU is opened; rows of scores may go to stdout."""
    ort = onnx.import_onnxruntime()
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "preload_dlls", lambda: print("libcudnn was not found"))  # noqa: T201
    with pytest.raises(ConfigError, match="CUDAExecutionProvider is installed but does not start here"):
        Bundle.open(folder, providers=["CUDAExecutionProvider"])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "libcudnn was not found" in shown.err
    Bundle.open(folder)
    assert "libcudnn" not in capsys.readouterr().err


NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchaudio", "triton"}:
            raise ImportError(name + " is blocked")
        return None

sys.meta_path.insert(0, Refuse())
import cavsync.deploy
import cavsync.cli.score
assert "onnxruntime" not in sys.modules and "torch" not in sys.modules
from cavsync.deploy import Bundle, SyncScorer
SyncScorer(Bundle.open(sys.argv[1], threads=1))
import cavsync.deploy.sinks
"""


def test_deploy_works_without_torch_and_opens_no_engine_on_import(folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-P", "-c", NO_TORCH, str(folder)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
