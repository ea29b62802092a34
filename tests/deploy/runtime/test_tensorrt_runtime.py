"""The TensorRT runtime, on a stand-in for CUDA that keeps device memory in the host's; the real thing needs a GPU."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_tensorrt import PLAN, FakeCuda, FakeDriver, FakeTensorRT
from sidecars import sidecar_of

from cavsync.deploy.runtime import tensorrt as tensorrt_runtime
from cavsync.deploy.runtime.cuda_device import CudaDevice, Gpu, find_gpu
from cavsync.deploy.runtime.engines import run_all
from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.deploy.runtime.tensorrt import TensorRtGraph
from cavsync.deploy.runtime.tensorrt_library import first_reason, import_library
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import EngineSpec, GraphSpec, TensorSpec

ADA = Gpu("stand-in", "89")
SPEC = GraphSpec(
    "visual_encoder.onnx",
    [TensorSpec("frames", ["batch", 2, 3], "uint8")],
    [TensorSpec("embedding", ["batch", 2], "float32"), TensorSpec("patches", ["batch", 3, 2], "float16")],
)
ENGINE = EngineSpec("visual_encoder", "tensorrt_rtx", "fp16", "v.engine", ["v.engine.json"])


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", fake)
    monkeypatch.setattr(tensorrt_runtime, "find_gpu", lambda: (ADA, "a stand-in"))
    return fake


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeTensorRT:
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
    return fake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changes: Any) -> None:
    sidecar = sidecar_of(PLAN, SPEC.inputs, SPEC.outputs, BatchProfile(2, 3, 4))
    (folder / "v.engine").write_bytes(PLAN)
    (folder / "v.engine.json").write_bytes(replace(sidecar, **changes).to_bytes())


def frames(count: int) -> Any:
    return np.random.default_rng(count).integers(0, 256, (count, 2, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("count", "batches"), [(0, []), (1, [2]), (2, [2]), (4, [4]), (5, [4, 2]), (7, [4, 3]), (12, [4, 4, 4])]
)
def test_batches_are_cut_and_filled_to_the_profile(
    count: int, batches: list[int], folder: Path, cuda: FakeCuda, library: FakeTensorRT
) -> None:
    """Whatever the number of items: each one's own value, in order, in float32."""
    graph, values = TensorRtGraph(folder, SPEC, ENGINE), frames(count)
    sums = values.astype(np.float32).sum(axis=2)
    found = graph.run(values, "embedding")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sums)
    assert library.batches == batches
    patches = graph.run(values, "patches")
    assert patches.dtype == np.float32
    np.testing.assert_array_equal(patches, sums[:, None] * np.array([1, 2, 4], np.float32)[:, None])
    library.batches.clear()
    both = run_all(graph, values, ("patches", "embedding"))
    assert library.batches == batches
    np.testing.assert_array_equal(both[0], patches)
    np.testing.assert_array_equal(both[1], found)


def test_parts_of_larger_arrays_are_copied_right(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    """What NumPy calls a view is not one piece of memory."""
    values = frames(8)[::2, :, ::-1]
    found = TensorRtGraph(folder, SPEC, ENGINE).run(values, "embedding")
    np.testing.assert_array_equal(found, values.astype(np.float32).sum(axis=2))


def test_threads_may_share_a_graph(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    graph, wrong = TensorRtGraph(folder, SPEC, ENGINE), []

    def work(seed: int) -> None:
        for count in range(1, 40):
            values = frames(seed * 100 + count)
            if not np.array_equal(graph.run(values, "embedding"), values.astype(np.float32).sum(axis=2)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_is_given_back(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    """On `close`, once; with the last reference; and where opening fails half-way."""
    graph = TensorRtGraph(folder, SPEC, ENGINE)
    assert sorted(map(len, cuda.memory.values())) == [4 * 6, 4 * 2 * 4, 4 * 6 * 2]
    graph.close()
    graph.close()
    assert (cuda.memory, cuda.streams) == ({}, 0)
    graph = TensorRtGraph(folder, SPEC, ENGINE)
    del graph
    gc.collect()
    assert (cuda.memory, cuda.streams) == ({}, 0)
    cuda.limit_bytes = 4 * 6
    with pytest.raises(ConfigError, match=r"cudaMalloc fails on this machine \(out of memory\)"):
        TensorRtGraph(folder, SPEC, ENGINE)
    assert (cuda.memory, cuda.streams) == ({}, 0)


def test_inputs_that_were_not_declared_are_refused(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    graph = TensorRtGraph(folder, SPEC, ENGINE)
    for values in (frames(2).astype(np.float32), frames(2)[:, :1], frames(2)[0]):
        with pytest.raises(BundleError, match="takes uint8"):
            graph.run(values, "embedding")


def test_failures_are_told(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    graph = TensorRtGraph(folder, SPEC, ENGINE)
    library.scale = np.inf
    with pytest.raises(BundleError, match="not finite"):
        graph.run(frames(2) | 1, "embedding")
    library.failing = True
    with pytest.raises(BundleError, match=r"fails on an input of shape \[2, 2, 3\] \(out of luck\).*rebuild it"):
        graph.run(frames(2), "embedding")
    library.opens = False
    with pytest.raises(BundleError, match=r"cannot be opened \(the plan is stale\).*--trt rtx"):
        TensorRtGraph(folder, SPEC, ENGINE)
    assert cuda.streams == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtypes": {"frames": np.uint8}}, r"has the tensors frames \(input uint8 \[batch, 2, 3\]\), its sidecar"),
        ({"dtypes": {"frames": np.float32, "embedding": np.float32, "patches": np.float16}}, r"input float32 \[batch,"),
        ({"shapes": {"frames": (-1, 2, 3), "embedding": (-1, 2), "patches": (-1, 4, 2)}}, r"float16 \[batch, 4, 2\]"),
        ({"inputs": {"frames", "embedding"}}, r"embedding \(input float32"),
        ({"profile": [(3, 2, 3), (4, 2, 3), (4, 2, 3)]}, "takes 3 to 4 items at a time, its sidecar declares 2 to 4"),
        ({"profile": [(1, 2, 3), (2, 2, 3), (3, 2, 3)]}, "takes 1 to 3 items at a time"),
    ],
)
def test_an_engine_that_differs_from_its_sidecar_is_refused(
    changes: dict[str, Any], message: str, folder: Path, cuda: FakeCuda, library: FakeTensorRT
) -> None:
    """Memory is allocated by the sidecar, so a larger engine would write beyond it."""
    vars(library).update(changes)
    with pytest.raises(BundleError, match=message):
        TensorRtGraph(folder, SPEC, ENGINE)
    assert (cuda.memory, cuda.streams) == ({}, 0)


def never(*_: Any) -> Any:
    raise AssertionError("the engine was opened")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size_bytes": 5}, "differs from the size and hash"),
        ({"engine_sha256": "1" * 64}, "differs from the size and hash"),
        ({"library_version": "1.6.0.2"}, "was built by TensorRT-RTX 1.6.0.2 and this machine has 1.7.1.116"),
        ({"compute_capabilities": ["86"]}, "was built for compute capability 86 and this GPU has 89"),
        ({"graph": "audio_encoder"}, "in the engine's graph"),
        ({"runtime": "tensorrt"}, "in the engine's runtime"),
        ({"precision": "fp32"}, "in the engine's precision"),
        ({"inputs": [TensorSpec("frames", ["batch", 2, 4], "uint8")]}, "in the engine's inputs"),
        ({"outputs": SPEC.outputs[:1]}, "in the engine's outputs"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_opened(
    changes: dict[str, Any], message: str, tmp_path: Path, cuda: FakeCuda, library: FakeTensorRT
) -> None:
    write(tmp_path, **changes)
    library.open_engine = never
    with pytest.raises(BundleError, match=re.escape(message)) as caught:
        TensorRtGraph(tmp_path, SPEC, ENGINE)
    assert "`cavsync export RUN --out BUNDLE --trt rtx" in str(caught.value)
    assert cuda.streams == 0


def test_an_engine_without_its_sidecar_is_refused(folder: Path, cuda: FakeCuda, library: FakeTensorRT) -> None:
    with pytest.raises(BundleError, match="0 companions, its sidecar is expected"):
        TensorRtGraph(folder, SPEC, replace(ENGINE, companions=[]))


def test_without_gpu_or_library_there_is_a_sentence(
    folder: Path, library: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_runtime, "find_gpu", lambda: (None, "no NVIDIA driver is installed"))
    with pytest.raises(ConfigError, match="needs an NVIDIA GPU, and here no NVIDIA driver is installed: run it"):
        TensorRtGraph(folder, SPEC, ENGINE)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(ConfigError, match=r"TensorRT-RTX cannot be imported here .*`pip install 'cavsync\[trt\]'`"):
        TensorRtGraph(folder, SPEC, ENGINE)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ConfigError, match=r"`pip install 'cavsync\[tensorrt\]'` .*pypi\.nvidia\.com"):
        import_library("tensorrt")
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(ConfigError, match=r"needs cuda-bindings.*`pip install 'cavsync\[trt\]'`"):
        CudaDevice()


def test_the_driver_is_asked_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: FakeDriver(""))
    assert find_gpu() == (Gpu("Some GPU", "120"), "Some GPU with compute capability 120")
    for failing, finding in (
        ("cuInit", "does not start"),
        ("cuDeviceGet", "shows no GPU"),
        ("cuDeviceGetAttribute", "does not report"),
    ):
        monkeypatch.setattr(ctypes, "CDLL", lambda _, failing=failing: FakeDriver(failing))
        gpu, found = find_gpu()
        assert gpu is None
        assert finding in found
    monkeypatch.setattr(ctypes, "CDLL", never_loads)
    assert find_gpu() == (None, "no NVIDIA driver is installed")


def never_loads(_: str) -> Any:
    raise OSError("libcuda.so.1: cannot open shared object file")


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda-bindings is not installed")
@pytest.mark.skipif(find_gpu()[0] is not None, reason="there is a GPU")
def test_real_cuda_without_a_gpu_is_a_sentence() -> None:
    """NVIDIA's own bindings, as far as they go here."""
    with pytest.raises(ConfigError, match=r"cudaStreamCreateWithFlags fails on this machine \(.+\): check the driver"):
        CudaDevice()


def test_the_reason_is_found_in_what_a_library_says() -> None:
    """Texts of TensorRT-RTX 1.7.1."""
    noise = (
        "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/c.cpp:250 "
        "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version))"
    )
    turing = (
        "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: check_turing_op_compatibility] Cannot "
        "compile operation 'node_Gemm_323' for Turing (SM75): FP32 GEMM is not supported. In compileGraph at "
        "/_src/optimizer/myelin/codeGenerator.cpp:2012)"
    )
    expected = "Cannot compile operation 'node_Gemm_323' for Turing (SM75): FP32 GEMM is not supported"
    assert first_reason([noise, turing]) == expected
    assert first_reason([noise, "false", ""]) == ""
    parsed = (
        f"Invalid Node - n\nITensor::f: Error Code 4: API Usage Error (n: bad type. In f at /_src/n.cpp:4)\n{noise}"
    )
    assert first_reason([parsed]) == "n: bad type"
    assert first_reason(["Assertion failed: f(a.b(), &c): Failed to sort."]) == "Failed to sort"


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["audio_encoder", "visual_encoder"])
def test_engines_compute_what_onnx_runtime_computes(name: str, tmp_path: Path) -> None:
    """Built here and run here; batches within, below and beyond the profile."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    import onnxruntime
    from small_models import TUBELETS, small_model

    from cavsync.export.graphs import stages, write_graph
    from cavsync.export.trt import find_library, write_engines

    library, told = find_library("auto")
    if library.gpu is None or (library.offered and library.gpu.compute_capability not in library.offered):
        pytest.skip(f"{told}; an engine of it does not run here")
    stage = stages(small_model(**TUBELETS))[name]
    path = write_graph(stage, tmp_path, {})
    targets = None if library.runtime == "tensorrt" else ["current"]
    (engine,) = write_engines(
        tmp_path, name, path, stage.spec, "fp32", library, BatchProfile(1, 2, 4), targets, tmp_path / "timing.cache"
    )
    graph = TensorRtGraph(tmp_path, stage.spec, engine)
    reference = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    shape, generator = stage.spec.inputs[0].shape[1:], np.random.default_rng(0)
    for count in (1, 4, 9):
        values = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
        if name == "audio_encoder":
            values = generator.normal(-5, 4, (count, *shape)).astype(np.float32)
        for output in ("embedding", "patches"):
            (expected,) = reference.run([output], {stage.spec.inputs[0].name: values})
            # Multiplications in TF32 keep ten bits.
            np.testing.assert_allclose(graph.run(values, output), expected, rtol=0.02, atol=0.02)
    graph.close()
