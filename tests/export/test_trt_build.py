"""Engines are built without a GPU for every kind of it, and always the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from trt_graphs import PRECISIONS, PROFILE, rtx_only, small_graph

from cavsync.deploy.runtime.cuda_device import Gpu
from cavsync.deploy.runtime.sidecar import check_loadable, read_sidecar
from cavsync.errors import ExportError
from cavsync.export.artefacts import OPSETS
from cavsync.export.graphs import GraphStage, write_graph
from cavsync.export.precision.half import in_half
from cavsync.export.trt import Library, build_engine, write_engines
from cavsync.manifest import EngineSpec, TensorSpec, sha256_file

CAPABILITIES = ("75", "80", "86", "89", "120", "121")
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
def test_visual_encoders_for_every_gpu(
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
def test_audio_encoders_for_the_default_gpus(
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
