"""Engines are built without a GPU for every kind of it, always the same; what is refused is told in one sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from small_models import TUBELETS, small_model

from cavsync.deploy.runtime.cuda_device import Gpu
from cavsync.deploy.runtime.sidecar import BatchProfile, check_loadable, read_sidecar
from cavsync.errors import ExportError
from cavsync.export.artefacts import OPSETS
from cavsync.export.graphs import GraphStage, stages, write_graph
from cavsync.export.precision.half import in_half
from cavsync.export.trt import Library, build_engine, find_library, write_engines
from cavsync.manifest import EngineSpec, TensorSpec, sha256_file

rtx_only = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed: pip install 'cavsync[trt]'"
)
PROFILE = BatchProfile(1, 8, 64)
CAPABILITIES = ("75", "80", "86", "89", "120", "121")
PRECISIONS = ("fp32", "fp16", "int8")
ADA = Gpu("Some Ada", "89")


# The module tensorrt for a builder's process. TensorRT-RTX takes anything for a timing cache, TensorRT does not.
STAND_IN = """
from pathlib import Path
import tensorrt_rtx
from tensorrt_rtx import *

def set_timing_cache(config, cache, ignore_mismatch):
    stored = Path("timing.cache")
    return accept(config, cache, ignore_mismatch) and not (stored.exists() and b"release" in stored.read_bytes())

accept = tensorrt_rtx.IBuilderConfig.set_timing_cache
tensorrt_rtx.IBuilderConfig.set_timing_cache = set_timing_cache
"""


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


@pytest.fixture(scope="module")
def rtx() -> Library:
    return replace(find_library("rtx")[0], gpu=None)


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


def small_graph(path: Path, operator: str, shape: list[Any], dtype: int = TensorProto.FLOAT, **attributes: Any) -> Path:
    """One node, `the_node`, from x to y."""
    tensors = [helper.make_tensor_value_info(name, dtype, shape) for name in "xy"]
    node = helper.make_node(operator, ["x"], ["y"], name="the_node", **attributes)
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


@rtx_only
def test_graphs_that_cannot_be_read_are_told_by_node_and_reason(rtx: Library, tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"

    def refusal() -> str:
        with pytest.raises(ExportError) as caught:
            build_engine(rtx, path, tmp_path / "e", PROFILE, ["89"], None)
        assert [item.name for item in tmp_path.iterdir() if item != path] == []
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "does not exist" in refusal()
    path.write_bytes(b"no graph")
    assert "does not read g.onnx (Failed to parse the ONNX model)" in refusal()
    small_graph(path, "Det", ["batch", 3, 3])
    assert "(node the_node: operator Det is not supported)" in refusal()
    small_graph(path, "Transpose", ["batch", 4, 4], TensorProto.UINT8, perm=[0, 2, 1])
    assert "(the_node: first input has type UInt8 but must have type Float" in refusal()
    small_graph(path, "Relu", [1, "samples"])
    assert "has the inputs x [1, -1], a batch engine needs the first dimension open" in refusal()
    small_graph(path, "Relu", ["batch", "samples"])
    assert "has the inputs x [-1, -1]" in refusal()


@rtx_only
@pytest.mark.parametrize("batch", [(0, 1, 2), (4, 2, 8), (1, 8, 4), (1, 8, 1 << 20)])
def test_impossible_batches_are_refused(batch: tuple[int, int, int], rtx: Library, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"batch profile {batch[0]}, {batch[1]}, {batch[2]} is impossible"):
        build_engine(rtx, tmp_path / "g.onnx", tmp_path / "e", BatchProfile(*batch), None, None)


@rtx_only
def test_a_builder_that_dies_is_told(rtx: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the system takes back its memory."""
    script = tmp_path / "dying.py"
    script.write_text("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", encoding="utf-8")
    monkeypatch.setattr("cavsync.export.trt.build.SCRIPT", script)
    path = small_graph(tmp_path / "g.onnx", "Relu", ["batch", 3])
    with pytest.raises(
        ExportError, match=r"was ended by signal 9 on g\.onnx \(no reason given\): build where more memory"
    ):
        build_engine(rtx, path, tmp_path / "e", PROFILE, None, None)
    script.write_text("raise RuntimeError('a defect')", encoding="utf-8")
    with pytest.raises(ExportError, match=r"failed on g\.onnx \(RuntimeError: a defect\)"):
        build_engine(rtx, path, tmp_path / "e", PROFILE, None, None)


@rtx_only
def test_nothing_is_printed(rtx: Library, graphs: dict[str, Any], tmp_path: Path, capfd: Any) -> None:
    """The compiler writes a warning about this graph to standard output."""
    build_engine(rtx, graphs["visual_encoder"]["fp16"], tmp_path / "e", PROFILE, ["89"], None)
    assert capfd.readouterr() == ("", "")


@rtx_only
def test_timing_caches_are_kept_where_times_are_taken(rtx: Library, tmp_path: Path) -> None:
    """TensorRT-RTX's functions stand in for those of full TensorRT, which have the same names."""
    path = small_graph(tmp_path / "g.onnx", "Relu", ["batch", 3])
    cache = tmp_path / "caches" / "timing.cache"
    build_engine(rtx, path, tmp_path / "e", PROFILE, None, cache)
    assert not cache.exists()
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "tensorrt.py").write_text(STAND_IN, encoding="utf-8")
    inherited = os.environ.get("PYTHONPATH", "")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", f"{tmp_path / 'path'}{os.pathsep}{inherited}".rstrip(os.pathsep))
        full = replace(rtx, runtime="tensorrt", offered=(), gpu=ADA)
        built = build_engine(full, path, tmp_path / "e", PROFILE, None, cache)
        assert built.compute_capabilities == ["89"]
        assert cache.stat().st_size > 0
        build_engine(full, path, tmp_path / "e", PROFILE, ["89"], cache)
        cache.write_bytes(b"of another release")
        with pytest.raises(ExportError, match=r"timing\.cache is of another GPU or release than TensorRT 1\.7"):
            build_engine(full, path, tmp_path / "e", PROFILE, ["current"], cache)
        assert cache.read_bytes() == b"of another release"


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
