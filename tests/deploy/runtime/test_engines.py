"""Which engine computes a bundle's encoders, and that OpenVINO computes the same as ONNX Runtime or refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from exported import exported
from fake_bundle import write_fake_bundle
from generated_clips import make_clips
from numpy.typing import NDArray

from cavsync.deploy import Bundle, score_file
from cavsync.deploy.runtime import engines
from cavsync.deploy.runtime import tensorrt as tensorrt_runtime
from cavsync.deploy.runtime.cuda_device import Gpu
from cavsync.deploy.runtime.engines import choose_engines
from cavsync.deploy.runtime.sidecar import BatchProfile, Sidecar, rebuild_command
from cavsync.errors import BundleError, ConfigError
from cavsync.export.parity import LIMITS, centred_cosine
from cavsync.manifest import ENCODERS, EngineSpec, GraphSpec, Manifest, read_manifest

Array = NDArray[Any]
RELEASE = "1.7.1"
ADA, AMPERE = Gpu("Some Ada", "89"), Gpu("Some Ampere", "86")

needs_openvino = pytest.mark.skipif(
    find_spec("openvino") is None or find_spec("nncf") is None,
    reason="OpenVINO or NNCF is not installed: pip install 'cavsync[openvino]'",
)


def both(runtime: str, precision: str, ending: str = "", *companions: str) -> list[EngineSpec]:
    """An engine of each encoder."""
    files = [(name, f"{name}.{runtime}{ending}") for name in ENCODERS]
    return [
        EngineSpec(name, runtime, precision, file, [f"{file}.{item}" for item in companions]) for name, file in files
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_fake_bundle(tmp_path / "bundle")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says which GPU there is and which libraries are installed."""

    def be(gpu: Gpu | None, *installed: str) -> None:
        monkeypatch.setattr(engines, "find_gpu", lambda: (gpu, "a stand-in" if gpu else "no NVIDIA driver"))
        monkeypatch.setattr(engines, "find_spec", lambda name: name if name in installed else None)
        monkeypatch.setattr(engines, "import_library", lambda runtime: SimpleNamespace(__version__=RELEASE))

    be(None)
    return be


def write_sidecar(folder: Path, engine: EngineSpec, *compute_capabilities: str, release: str = RELEASE) -> None:
    manifest = read_manifest(folder)
    spec: GraphSpec = getattr(manifest, engine.graph)
    sidecar = Sidecar(
        engine.graph, engine.runtime, release, "13", engine.precision, list(compute_capabilities), spec.inputs,
        spec.outputs, BatchProfile(1, 8, 64), "0" * 64, "0" * 64, 4, rebuild_command(engine.runtime, "fp16", []),
    )  # fmt: skip
    (folder / engine.companions[0]).write_bytes(sidecar.to_bytes())


def chosen(folder: Path, manifest: Manifest, wanted: str = "auto") -> list[str]:
    return [engine.file for engine in choose_engines(folder, manifest, wanted).values()]


def test_onnx_runtime_means_the_graphs_of_the_bundle(folder: Path, machine: Callable[..., None]) -> None:
    """Whatever else there is; named with another precision it is an engine."""
    machine(ADA, "openvino", "tensorrt_rtx")
    beside = [*both("openvino", "int8", ".xml", "bin"), *both("onnxruntime", "bf16", ".bf16.onnx")]
    manifest = replace(read_manifest(folder), engines=beside)
    assert choose_engines(folder, manifest) == {}
    assert choose_engines(folder, manifest, "onnxruntime") == {}
    assert choose_engines(folder, manifest, "onnxruntime:fp32") == {}
    found = choose_engines(folder, manifest, "onnxruntime:bf16")
    assert found == {engine.graph: engine for engine in beside[2:]}
    found = choose_engines(folder, manifest, "openvino")
    assert found == choose_engines(folder, manifest, "openvino:int8") == {e.graph: e for e in beside[:2]}


def test_named_engines_are_chosen_where_nothing_can_run_them(folder: Path, machine: Callable[..., None]) -> None:
    """That they cannot is said when they are opened; nothing else is taken in their place."""
    manifest = replace(read_manifest(folder), engines=both("openvino", "int8", ".xml", "bin"))
    assert len(choose_engines(folder, manifest, "openvino")) == 2


@pytest.mark.parametrize("wanted", ["opnvino", "", "cuda", "openvino/int8", "OpenVINO", ":int8"])
def test_names_that_are_not_known_are_refused(wanted: str, folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_engines(folder, read_manifest(folder), wanted)
    assert str(caught.value) == (
        f"engine {wanted} is not known: use auto, onnxruntime, openvino, tensorrt, tensorrt_rtx, or one with :precision"
    )


def test_engines_that_a_bundle_lacks_are_refused_with_what_it_has(folder: Path, machine: Callable[..., None]) -> None:
    manifest = read_manifest(folder)
    with pytest.raises(ConfigError) as caught:
        choose_engines(folder, manifest, "openvino")
    assert str(caught.value) == (
        f"{folder} has no openvino engine of audio_encoder, it has onnxruntime:fp32: choose one of these, or export it"
    )
    manifest = replace(manifest, engines=[*both("openvino", "int8"), *both("onnxruntime", "bf16")])
    for wanted in ("openvino:fp16", "tensorrt", "onnxruntime:fp16", "tensorrt_rtx:fp32"):
        with pytest.raises(ConfigError) as caught:
            choose_engines(folder, manifest, wanted)
        expected = f"has no {wanted} engine of audio_encoder, it has onnxruntime:fp32, onnxruntime:bf16, openvino:int8:"
        assert expected in str(caught.value)
    manifest = replace(manifest, engines=both("openvino", "int8")[:1])
    with pytest.raises(ConfigError, match="has no openvino engine of visual_encoder"):
        choose_engines(folder, manifest, "openvino")


def test_auto_takes_the_best_that_can_run(
    folder: Path, machine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU's engine before OpenVINO before ONNX Runtime; each where it is installed and whole. Which is logged."""
    gpu, cpu = both("tensorrt_rtx", "fp16", ".engine", "json"), both("openvino", "int8", ".xml", "bin")
    for engine in gpu:
        write_sidecar(folder, engine)
    manifest = replace(read_manifest(folder), engines=[*cpu, *gpu])
    caplog.set_level("INFO")
    machine(ADA, "openvino", "tensorrt_rtx")
    assert chosen(folder, manifest) == [engine.file for engine in gpu]
    assert "encoders computed by tensorrt_rtx (fp16)" in caplog.text
    machine(ADA, "openvino")
    assert chosen(folder, manifest) == [engine.file for engine in cpu]
    machine(None, "openvino", "tensorrt_rtx")
    assert chosen(folder, manifest) == [engine.file for engine in cpu]
    assert "encoders computed by openvino (int8)" in caplog.text
    machine(None, "tensorrt_rtx")
    assert chosen(folder, manifest) == []
    assert "encoders computed by onnxruntime (fp32); no NVIDIA driver" in caplog.text
    machine(ADA, "openvino", "tensorrt_rtx")
    assert chosen(folder, replace(manifest, engines=[cpu[0], gpu[1]])) == []
    assert chosen(folder, replace(manifest, engines=[*cpu, gpu[0]])) == [engine.file for engine in cpu]
    write_sidecar(folder, gpu[1], release="1.6.9")
    assert chosen(folder, manifest) == [engine.file for engine in cpu]


def test_of_engines_for_one_gpu_each_the_one_at_hand_is_taken(folder: Path, machine: Callable[..., None]) -> None:
    """Automatically none where there is none for it; named, the first, which then says what it was built for."""
    made = {cc: both("tensorrt_rtx", "fp16", f".sm{cc}.engine", "json") for cc in ("75", "89")}
    for capability, pair in made.items():
        for engine in pair:
            write_sidecar(folder, engine, capability)
    manifest = replace(read_manifest(folder), engines=[*made["75"], *made["89"]])
    machine(ADA, "tensorrt_rtx")
    assert chosen(folder, manifest) == chosen(folder, manifest, "tensorrt_rtx") == [e.file for e in made["89"]]
    machine(AMPERE, "tensorrt_rtx")
    assert chosen(folder, manifest) == []
    assert chosen(folder, manifest, "tensorrt_rtx") == [engine.file for engine in made["75"]]


def test_engines_beside_graphs_that_take_one_input_take_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an int8 bundle has them: only the batch may differ between the graph and the engine's sidecar."""
    folder = write_fake_bundle(tmp_path / "bundle")
    (engine, _) = both("tensorrt_rtx", "fp16", ".engine", "json")
    write_sidecar(folder, engine)
    spec = read_manifest(folder).audio_encoder
    one = replace(
        spec,
        inputs=[replace(tensor, shape=[1, *tensor.shape[1:]]) for tensor in spec.inputs],
        outputs=[replace(tensor, shape=[1, *tensor.shape[1:]]) for tensor in spec.outputs],
    )
    monkeypatch.setattr(tensorrt_runtime, "import_library", lambda runtime: None)
    monkeypatch.setattr(tensorrt_runtime, "find_gpu", lambda: (None, "no NVIDIA driver is installed"))
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU"):
        tensorrt_runtime.TensorRtGraph(folder, one, engine)
    wider = replace(one, outputs=[replace(one.outputs[0], shape=[1, 3]), *one.outputs[1:]])
    with pytest.raises(BundleError, match="differs from the manifest in the engine's outputs"):
        tensorrt_runtime.TensorRtGraph(folder, wider, engine)


@pytest.fixture(scope="module")
def auto_bundle() -> Path:
    return exported("auto")


def inputs_of(name: str, count: int) -> Array:
    random = np.random.default_rng(5)
    if name == "audio_encoder":
        return random.normal(-5, 4, (count, 80, 128)).astype(np.float32)
    return random.integers(0, 256, (count, 3, 48, 48, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "engine", [pytest.param("openvino", marks=needs_openvino), "onnxruntime:fp32", "onnxruntime", "auto"]
)
def test_engines_score_alike(engine: str, auto_bundle: Path) -> None:
    """To the parity limits of int8, embeddings of whatever a bundle is given."""
    reference, bundle = Bundle.open(exported("fp32")), Bundle.open(auto_bundle, engine=engine)
    for got, want in (
        (bundle.embed_audio(inputs_of("audio_encoder", 6)), reference.embed_audio(inputs_of("audio_encoder", 6))),
        (bundle.embed_frames(inputs_of("visual_encoder", 6)),
         reference.embed_frames(inputs_of("visual_encoder", 6))),
    ):  # fmt: skip
        assert float((got * want).sum(axis=1).min()) >= LIMITS["int8"].cosine
        assert centred_cosine(got.astype(np.float64), want.astype(np.float64)) >= LIMITS["int8"].centred_cosine
    if engine == "onnxruntime:fp32":
        # The bundle's own float32 graph has its preprocessing folded into a convolution, that of an engine does not.
        np.testing.assert_allclose(got, want, atol=1e-6)


@needs_openvino
def test_clips_are_scored_with_openvino(auto_bundle: Path, tmp_path: Path) -> None:
    """The same curve, to what int8 moves a similarity by."""
    clip = next(make_clips(tmp_path / "clips", 1, duration_seconds=4.0).glob("*.mp4"))
    fp32, int8 = (
        score_file(clip, bundle).summary
        for bundle in (Bundle.open(exported("fp32")), Bundle.open(auto_bundle, engine="openvino"))
    )
    assert int8.score.state == fp32.score.state == "undetermined"
    assert int8.score.reason == fp32.score.reason


@pytest.mark.parametrize("name", ENCODERS)
def test_dynamic_graphs_give_the_same_whatever_comes_together(name: str) -> None:
    """A range over a batch would tie every result to its neighbours; only one input is given at a time."""
    folder = exported("auto")
    dynamic = json.loads((folder / "int8_candidates.json").read_text())[name][1]
    assert dynamic["name"] == "ONNX Runtime, dynamic int8"
    bundle = Bundle.open(folder)
    graph = bundle.audio if name == "audio_encoder" else bundle.visual
    values = inputs_of(name, 4)
    together = graph.run(values, "patches")
    for place in range(4):
        np.testing.assert_allclose(graph.run(values[place : place + 1], "patches")[0], together[place], atol=1e-5)
    if getattr(bundle.manifest, name).inputs[0].shape[0] == 1:
        np.testing.assert_array_equal(graph.run(values[::-1], "patches")[::-1], together)


def test_bf16_is_refused_where_onnx_runtime_lacks_it() -> None:
    with pytest.raises(ConfigError, match=r"audio_encoder\.bf16\.onnx computes in bf16, .* on GPUs only: choose"):
        Bundle.open(exported("bf16"), engine="onnxruntime:bf16")
    Bundle.open(exported("bf16"))
