"""Engines are built without a GPU for every kind of it, always the same; what is refused is told in one sentence."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from small_models import TUBELETS, small_model

from cavsync.deploy.runtime.sidecar import BatchProfile, check_loadable, read_sidecar
from cavsync.errors import ExportError
from cavsync.export.artefacts import OPSETS
from cavsync.export.graphs import GraphStage, stages, write_graph
from cavsync.export.precision.half import in_half
from cavsync.export.trt import Library, build_engine, write_engines
from cavsync.manifest import EngineSpec, TensorSpec, sha256_file

rtx_only = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed: pip install 'cavsync[trt]'"
)
PROFILE = BatchProfile(1, 8, 64)
CAPABILITIES = ("75", "80", "86", "89", "120", "121")
PRECISIONS = ("fp32", "fp16", "int8")


class Items(CalibrationDataReader):  # type: ignore[misc]
    """Two random batches of an encoder's input."""

    def __init__(self, tensor: TensorSpec) -> None:
        shape, generator = (2, *tensor.shape[1:]), np.random.default_rng(0)
        numbers = [generator.integers(0, 256, shape) - (0 if tensor.dtype == "uint8" else 128) for _ in range(2)]
        self.batches = iter([{tensor.name: item.astype(tensor.dtype)} for item in numbers])

    def get_next(self) -> Any:
        return next(self.batches, None)


def write_precisions(stage: GraphStage, folder: Path) -> dict[str, Path]:
    """The graph in each precision: precision lives in the graph, TensorRT does not choose one."""
    paths = {precision: folder / f"{precision}.onnx" for precision in PRECISIONS}
    write_graph(stage, folder, {}).rename(paths["fp32"])
    model = onnx.load(str(paths["fp32"]))
    # The exporter's notes on shapes hinder both converters.
    del model.graph.value_info[:]
    plain = folder / "plain.onnx"
    onnx.save(model, str(plain))
    kept = ["LayerNormalization", "Softmax"]
    onnx.save(convert_float_to_float16(model, keep_io_types=True, op_block_list=kept), str(paths["fp16"]))
    quantize_static(
        str(plain),
        str(paths["int8"]),
        Items(stage.spec.inputs[0]),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
    )
    return paths


@pytest.fixture(scope="module")
def encoders() -> dict[str, GraphStage]:
    return stages(small_model(**TUBELETS))


@pytest.fixture(scope="module")
def graphs(encoders: dict[str, GraphStage], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    return {
        name: write_precisions(encoders[name], tmp_path_factory.mktemp(name))
        for name in ("audio_encoder", "visual_encoder")
    }


def check(folder: Path, engine: EngineSpec, library: Library, capability: str, source: Path) -> None:
    """The engine and its sidecar are what a runtime on such a GPU takes."""
    (name,) = engine.companions
    sidecar = read_sidecar(folder / name)
    plan = check_loadable(sidecar, folder / engine.file, library_version=library.version, compute_capability=capability)
    assert len(plan) > 100_000
    assert sidecar.source_sha256 == sha256_file(source)
    assert (sidecar.graph, sidecar.runtime, sidecar.precision) == (engine.graph, engine.runtime, engine.precision)
    assert sidecar.batch == PROFILE


@rtx_only
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_pictures_for_every_gpu(
    precision: str,
    capability: str,
    encoders: dict[str, GraphStage],
    graphs: dict[str, Any],
    rtx: Library,
    tmp_path: Path,
) -> None:
    """All but Turing in anything that leaves float32 products, which is told with a way out."""
    spec, source = encoders["visual_encoder"].spec, graphs["visual_encoder"][precision]

    def write() -> list[EngineSpec]:
        return write_engines(tmp_path, "visual_encoder", source, spec, precision, rtx, PROFILE, [capability])

    if capability == "75" and precision != "fp16":
        with pytest.raises(ExportError) as caught:
            write()
        message = str(caught.value)
        assert f"does not build {precision}.onnx in {precision} for compute capability 75 (" in message
        assert "node_Gemm" in message
        assert message.endswith("FP32 GEMM is not supported): export with --precision fp16, or leave 75 out")
        assert "cuda" not in message.lower()
        assert list(tmp_path.iterdir()) == []
        return
    (engine,) = write()
    file = f"visual_encoder.tensorrt_rtx.sm{capability}.engine"
    assert engine == EngineSpec("visual_encoder", "tensorrt_rtx", precision, file, [f"{file}.json"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [file, f"{file}.json"]
    check(tmp_path, engine, rtx, capability, source)
    sidecar = read_sidecar(tmp_path / f"{file}.json")
    assert sidecar.inputs == spec.inputs
    assert sidecar.rebuild_command.endswith(f"--compute-capability {capability}")


@pytest.fixture(scope="module")
def bf16_graphs(encoders: dict[str, GraphStage], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As an export makes them, products alone in bf16."""
    folder = tmp_path_factory.mktemp("bf16")
    for name in ("audio_encoder", "visual_encoder"):
        source = onnx.load(str(write_graph(encoders[name], folder, {}, OPSETS["bf16"])))
        onnx.save(in_half(source, "bf16"), str(folder / f"{name}.bf16.onnx"))
    return {name: folder / f"{name}.bf16.onnx" for name in ("audio_encoder", "visual_encoder")}


@rtx_only
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("name", ["audio_encoder", "visual_encoder"])
def test_bf16_for_every_gpu_that_has_it(
    name: str,
    capability: str,
    encoders: dict[str, GraphStage],
    bf16_graphs: dict[str, Path],
    rtx: Library,
    tmp_path: Path,
) -> None:
    """All but Turing, which came before bf16."""
    spec, source = encoders[name].spec, bf16_graphs[name]
    if capability == "75":
        with pytest.raises(ExportError) as caught:
            write_engines(tmp_path, name, source, spec, "bf16", rtx, PROFILE, [capability])
        message = str(caught.value)
        assert f"does not build {name}.bf16.onnx in bf16 for compute capability 75 (" in message
        assert message.endswith("export with --precision fp16, or leave 75 out")
        assert "\n" not in message
        assert list(tmp_path.iterdir()) == []
        return
    (engine,) = write_engines(tmp_path, name, source, spec, "bf16", rtx, PROFILE, [capability])
    file = f"{name}.tensorrt_rtx.sm{capability}.engine"
    assert engine == EngineSpec(name, "tensorrt_rtx", "bf16", file, [f"{file}.json"])
    check(tmp_path, engine, rtx, capability, source)
    assert read_sidecar(tmp_path / f"{file}.json").outputs == spec.outputs


@rtx_only
@pytest.mark.parametrize("precision", PRECISIONS)
def test_sound_for_the_default_gpus(
    precision: str, encoders: dict[str, GraphStage], graphs: dict[str, Any], rtx: Library, tmp_path: Path
) -> None:
    spec, source = encoders["audio_encoder"].spec, graphs["audio_encoder"][precision]
    (engine,) = write_engines(tmp_path, "audio_encoder", source, spec, precision, rtx, PROFILE, None)
    assert engine.file == "audio_encoder.tensorrt_rtx.engine"
    for capability in ("80", "120"):
        check(tmp_path, engine, rtx, capability, source)


@rtx_only
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_second_build_gives_the_same_bytes(
    precision: str, graphs: dict[str, Any], rtx: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the files lie, whatever the environment holds, and after a build that was refused."""
    allowed = [sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).personality(0x0040000))"]
    if subprocess.run(allowed, capture_output=True, text=True, check=False).stdout.strip() == "-1":
        pytest.skip("this system does not let a process fix its addresses")
    hashes = set()
    for round_number in range(4):
        folder = tmp_path / ("x" * (1 + 37 * round_number))
        folder.mkdir()
        source = folder / f"{'y' * round_number}.onnx"
        source.write_bytes(graphs["visual_encoder"][precision].read_bytes())
        monkeypatch.setenv("CAVSYNC_TEST_FILLER", "z" * (1 + 911 * round_number))
        hashes.add(sha256_file(build_engine(rtx, source, folder / "e", PROFILE, ["89"], None).path))
        with pytest.raises(ExportError):
            build_engine(rtx, graphs["visual_encoder"]["fp32"], folder / "f", PROFILE, ["75"], None)
    assert len(hashes) == 1


@rtx_only
def test_several_gpus_have_an_engine_each_or_share_one(
    encoders: dict[str, GraphStage], graphs: dict[str, Any], rtx: Library, tmp_path: Path
) -> None:
    spec, source = encoders["audio_encoder"].spec, graphs["audio_encoder"]["fp16"]
    engines = write_engines(tmp_path, "audio_encoder", source, spec, "fp16", rtx, PROFILE, ["75", "89", "75"])
    assert [engine.file for engine in engines] == [f"audio_encoder.tensorrt_rtx.sm{item}.engine" for item in (75, 89)]
    shared = build_engine(rtx, source, tmp_path / "e", PROFILE, ["75", "89"], None)
    assert shared.compute_capabilities == ["75", "89"]
    assert shared.outputs == [
        TensorSpec("embedding", [-1, 32], "float32"),
        TensorSpec("patches", [-1, 40, 32], "float32"),
    ]


@rtx_only
def test_nothing_is_left_of_engines_when_one_is_refused(
    encoders: dict[str, GraphStage], graphs: dict[str, Any], rtx: Library, tmp_path: Path
) -> None:
    """The old ones stay; the second fails after the first was built."""
    (tmp_path / "visual_encoder.tensorrt_rtx.sm89.engine").write_bytes(b"old")
    spec, source = encoders["visual_encoder"].spec, graphs["visual_encoder"]["fp32"]
    with pytest.raises(ExportError, match="compute capability 75"):
        write_engines(tmp_path, "visual_encoder", source, spec, "fp32", rtx, PROFILE, ["89", "75"])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@rtx_only
def test_engines_that_differ_from_the_manifest_are_refused(
    encoders: dict[str, GraphStage], graphs: dict[str, Any], rtx: Library, tmp_path: Path
) -> None:
    source = graphs["visual_encoder"]["fp16"]
    spec = encoders["visual_encoder"].spec
    wrong = replace(spec, outputs=[replace(spec.outputs[0], dtype="float16"), spec.outputs[1]])
    with pytest.raises(ExportError, match=r"gives an engine with the outputs embedding \(float32 \[-1, 32\]\)"):
        write_engines(tmp_path, "visual_encoder", source, wrong, "fp16", rtx, PROFILE, ["89"])
    assert list(tmp_path.iterdir()) == []


@rtx_only
@pytest.mark.parametrize("capability", ["90", "100", "70", "8.9", "SM89", ""])
def test_other_gpus_are_refused_before_anything_is_built(
    capability: str, encoders: dict[str, GraphStage], rtx: Library, tmp_path: Path
) -> None:
    spec = encoders["visual_encoder"].spec
    source = tmp_path / "a.onnx"
    source.write_bytes(b"not even a graph")
    with pytest.raises(
        ExportError, match=rf"does not build for compute capability {capability}, it is for GeForce"
    ) as caught:
        write_engines(tmp_path, "visual_encoder", source, spec, "fp32", rtx, PROFILE, ["89", capability])
    assert "(75, 80, 86, 89, 120, 121) and for no data-centre GPU such as 90 or 100" in str(caught.value)


@rtx_only
def test_nothing_is_printed(rtx: Library, graphs: dict[str, Any], tmp_path: Path, capfd: Any) -> None:
    """The compiler writes a warning about this graph to standard output."""
    build_engine(rtx, graphs["visual_encoder"]["fp16"], tmp_path / "e", PROFILE, ["89"], None)
    assert capfd.readouterr() == ("", "")


@rtx_only
def test_sidecars_hold_what_the_brief_of_a_runtime_asks(
    encoders: dict[str, GraphStage], graphs: dict[str, Any], rtx: Library, tmp_path: Path
) -> None:
    """The JSON itself, which other programs read too."""
    spec, source = encoders["audio_encoder"].spec, graphs["audio_encoder"]["fp16"]
    (engine,) = write_engines(tmp_path, "audio_encoder", source, spec, "fp16", rtx, PROFILE, ["120"])
    content = json.loads((tmp_path / engine.companions[0]).read_text(encoding="utf-8"))
    assert content["batch"] == {"min": 1, "opt": 8, "max": 64}
    assert content["inputs"] == [{"name": "log_mel", "shape": ["batch", 80, 128], "dtype": "float32"}]
    assert content["size_bytes"] == (tmp_path / engine.file).stat().st_size
    assert content["engine_sha256"] == sha256_file(tmp_path / engine.file)
    assert content["library_version"] == rtx.version
    assert content["cuda_version"] == "13"
    command = "cavsync export RUN --out BUNDLE --trt rtx --precision fp16 --compute-capability 120"
    assert content["rebuild_command"] == command
