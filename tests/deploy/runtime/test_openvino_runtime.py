"""OpenVINO's graphs compute what ONNX Runtime's do, or they are refused in one sentence."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from exported import exported
from hostile import forge, swap_middle_byte
from numpy.typing import NDArray

from cavsync.deploy import Bundle
from cavsync.deploy.runtime.engines import choose_engines
from cavsync.deploy.runtime.openvino import OpenVinoGraph
from cavsync.errors import BundleError, ConfigError
from cavsync.export.parity import LIMITS
from cavsync.manifest import ENCODERS, describe_files, read_manifest

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="OpenVINO or NNCF is not installed: pip install 'cavsync[openvino]'",
)


@pytest.fixture(scope="module")
def auto_bundle() -> Path:
    return exported("auto")


@pytest.fixture
def copy(auto_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(auto_bundle, tmp_path / "copy"))


def inputs_of(name: str, count: int) -> Array:
    random = np.random.default_rng(5)
    if name == "audio_encoder":
        return random.normal(-5, 4, (count, 80, 128)).astype(np.float32)
    return random.integers(0, 256, (count, 3, 48, 48, 3), dtype=np.uint8)


def open_openvino(folder: Path, name: str, **changes: Any) -> OpenVinoGraph:
    manifest = read_manifest(folder)
    engine = choose_engines(folder, manifest, "openvino")[name]
    spec = changes.pop("spec", getattr(manifest, name))
    return OpenVinoGraph(folder, spec, replace(engine, **changes), manifest.files, threads=1)


@pytest.mark.parametrize("name", ENCODERS)
def test_openvino_computes_what_onnx_runtime_computes(name: str, auto_bundle: Path) -> None:
    """Both outputs, of any batch, though the graph of the bundle takes one input at a time."""
    graph = open_openvino(auto_bundle, name)
    session = onnxruntime.InferenceSession(str(auto_bundle / f"{name}.fp32.onnx"))
    for count in (1, 5):
        values = inputs_of(name, count)
        for place, output in enumerate(("embedding", "patches")):
            got, want = graph.run(values, output), session.run(None, {session.get_inputs()[0].name: values})[place]
            assert got.dtype == np.float32
            assert got.shape == want.shape
            rows = zip(got.reshape(count, -1), want.reshape(count, -1), strict=True)
            cosines = [float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) for one, other in rows]
            assert min(cosines) >= LIMITS["int8"].cosine
    alone = np.concatenate([graph.run(values[place : place + 1], "embedding") for place in range(5)])
    np.testing.assert_allclose(graph.run(values, "embedding"), alone, atol=1e-5)


def test_one_graph_serves_many_threads(auto_bundle: Path) -> None:
    graph = open_openvino(auto_bundle, "audio_encoder")
    values = inputs_of("audio_encoder", 8)
    want = [graph.run(values[place : place + 1], "embedding") for place in range(8)]
    wrong: list[int] = []

    def work(place: int) -> None:
        for _ in range(10):
            got = graph.run(values[place : place + 1], "embedding")
            wrong.extend([place] * (not np.array_equal(got, want[place])))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("ending", ["xml", "bin"])
def test_changed_files_are_refused(ending: str, copy: Path) -> None:
    """By the bundle, and by the graph itself where somebody changes them after that."""
    path = copy / f"visual_encoder.openvino.{ending}"
    path.write_bytes(swap_middle_byte(path.read_bytes()))
    with pytest.raises(BundleError, match=rf"{path.name} differs from the hash"):
        Bundle.open(copy, engine="openvino")
    with pytest.raises(BundleError, match=path.name):
        open_openvino(copy, "visual_encoder")


def test_missing_weights_are_refused(copy: Path) -> None:
    with pytest.raises(BundleError, match=r"is declared without its weights, one \.bin file: export"):
        open_openvino(copy, "audio_encoder", companions=[])
    (copy / "audio_encoder.openvino.bin").unlink()
    with pytest.raises(BundleError, match=r"audio_encoder\.openvino\.bin"):
        Bundle.open(copy, engine="openvino")
    with pytest.raises(BundleError, match=r"audio_encoder\.openvino\.bin"):
        open_openvino(copy, "audio_encoder")


def reseal(folder: Path) -> None:
    """Hashes that fit what lies there, as a forger would write them."""
    names = [name for name in read_manifest(folder).files if (folder / name).exists()]
    entries = describe_files(folder, names)
    forge(lambda content: content.update(files={name: vars(entry) for name, entry in entries.items()}))(folder)


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"<?xml version='1.0'?><net></net>"])
def test_what_is_no_graph_is_refused_in_one_sentence(content: bytes, copy: Path) -> None:
    (copy / "audio_encoder.openvino.xml").write_bytes(content)
    reseal(copy)
    with pytest.raises(BundleError) as caught:
        Bundle.open(copy, engine="openvino")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "audio_encoder.openvino.xml" in sentence
    assert sentence.endswith("export the bundle again")


def test_weights_that_are_cut_short_are_refused(copy: Path) -> None:
    path = copy / "audio_encoder.openvino.bin"
    path.write_bytes(path.read_bytes()[:1000])
    reseal(copy)
    with pytest.raises(BundleError, match="not a usable OpenVINO graph"):
        Bundle.open(copy, engine="openvino")


def test_other_tensors_than_declared_are_refused(auto_bundle: Path) -> None:
    spec = read_manifest(auto_bundle).audio_encoder
    (source,), (embedding, patches) = spec.inputs, spec.outputs
    for wrong in (
        replace(spec, inputs=[replace(source, shape=["batch", 81, 128])]),
        replace(spec, inputs=[replace(source, shape=["batch", 80])]),
        replace(spec, inputs=[replace(source, dtype="uint8")]),
        replace(spec, inputs=[source, source]),
        replace(spec, outputs=[replace(embedding, shape=["batch", 16]), patches]),
        replace(spec, outputs=[embedding]),
        replace(spec, outputs=[patches, embedding]),
        replace(spec, outputs=[replace(embedding, dtype="float16"), patches]),
    ):
        with pytest.raises(BundleError, match="the manifest declares"):
            open_openvino(auto_bundle, "audio_encoder", spec=wrong)


def test_wrong_inputs_are_refused(auto_bundle: Path) -> None:
    graph = open_openvino(auto_bundle, "audio_encoder")
    for wrong in (
        np.zeros((1, 79, 128), np.float32),
        np.zeros((80, 128), np.float32),
        np.zeros((1, 80, 128), np.float64),
        np.zeros((1, 80, 128), np.uint8),
    ):
        with pytest.raises(
            BundleError, match=r"takes float32 \[.*, 80, 128\], it was given .*: export the bundle again"
        ):
            graph.run(wrong, "embedding")
    assert graph.run(np.zeros((2, 80, 128), np.float32), "embedding").shape == (2, 32)


def test_without_openvino_it_says_what_to_install(auto_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        ConfigError, match=r"needs openvino: pip install 'cavsync\[openvino\]', or use --engine onnxruntime"
    ):
        Bundle.open(auto_bundle, engine="openvino")
    Bundle.open(auto_bundle)
