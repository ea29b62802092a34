"""TensorRT engines in libcavsync, on stand-ins for CUDA and TensorRT: refused as in Python, and found by CMake.

`deploy/native/tests/tensorrt_test.cpp` has the tests of what runs them.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from fake_tensorrt import FakeCuda, FakeTensorRT
from sidecars import UNUSABLE, sidecar_of

from cavsync.deploy.runtime import tensorrt as tensorrt_runtime
from cavsync.deploy.runtime.cuda_device import Gpu, find_gpu
from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.deploy.runtime.tensorrt import TensorRtGraph
from cavsync.errors import BundleError
from cavsync.manifest import EngineSpec, GraphSpec, TensorSpec

ROOT = Path(__file__).resolve().parents[2] / "deploy/native"
STAND_IN = ROOT / "tests/tensorrt_sdk"
SPEC = GraphSpec(
    "v.onnx", [TensorSpec("frames", ["batch", 2, 3], "uint8")], [TensorSpec("embedding", ["batch", 2], "float32")]
)
ENGINE = EngineSpec("visual_encoder", "tensorrt_rtx", "fp16", "v.engine", ["v.engine.json"])
TENSORS = [
    {"name": "frames", "mode": "input", "dtype": "uint8", "shape": [2, 3]},
    {"name": "embedding", "mode": "output", "dtype": "float32", "shape": [2]},
]
PLAN = json.dumps({"least": 2, "most": 4, "scale": 1, "tensors": TENSORS}).encode()
SIDECAR = sidecar_of(PLAN, SPEC.inputs, SPEC.outputs, BatchProfile(2, 3, 4))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "v.engine").write_bytes(PLAN)
    (tmp_path / "v.engine.json").write_bytes(SIDECAR.to_bytes())
    (tmp_path / "spec.json").write_text(json.dumps(asdict(SPEC)))
    return tmp_path


@pytest.fixture
def refusals(build: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, str]]:
    """The sentences of the library and of Python on the engine in a folder, or "opened"."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", FakeCuda())
    library = FakeTensorRT()
    library.dtypes = {"frames": "uint8", "embedding": "float32"}
    library.open_engine = lambda _: None
    monkeypatch.setattr(tensorrt_runtime, "import_library", lambda _: library)

    def both(folder: Path, capability: str = "89", version: str = "1.7.1.116") -> tuple[str, str]:
        monkeypatch.setattr(tensorrt_runtime, "find_gpu", lambda: (Gpu("stand-in", capability), "a stand-in"))
        library.__version__ = version
        command = [build / "tensorrt_open", folder, ENGINE.runtime, capability[:-1], capability[-1], version]
        native = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        with pytest.raises(BundleError) as caught:
            TensorRtGraph(folder, SPEC, ENGINE)
        # Where the stand-in of Python is asked at all, everything was accepted.
        return native, "opened" if "cannot be opened" in str(caught.value) else str(caught.value)

    return both


def test_a_fitting_engine_is_opened(folder: Path, refusals: Any) -> None:
    for version in ("1.7.1.116", "1.7.1.120"):
        assert refusals(folder, version=version) == ("opened", "opened")


@pytest.mark.parametrize("capabilities", [[], ["86", "89"]])
@pytest.mark.parametrize("capability", ["75", "80", "86", "89", "90", "100", "120", "121", "130"])
def test_the_gpu_is_compared(folder: Path, refusals: Any, capability: str, capabilities: list[str]) -> None:
    (folder / "v.engine.json").write_bytes(replace(SIDECAR, compute_capabilities=capabilities).to_bytes())
    native, python = refusals(folder, capability)
    assert native == python


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "fp32"},
        {"graph": "audio_encoder"},
        {"runtime": "tensorrt"},
        {"inputs": [TensorSpec("frames", ["batch", 2, 4], "uint8")]},
        {"outputs": [TensorSpec("embedding", ["batch", 2], "float16")]},
        {"outputs": [*SPEC.outputs, *SPEC.outputs]},
        {"inputs": [TensorSpec("frames", ["n", 2, 3], "uint8")]},
        {"library_version": "1.6.0.2"},
        {"library_version": "1.7"},
        {"size_bytes": len(PLAN) + 1},
        {"size_bytes": len(PLAN) - 1},
        {"engine_sha256": "0" * 64},
        {"batch": BatchProfile(1, 2, 4), "compute_capabilities": ["86"]},
        {"cuda_version": ""},
    ],
)
def test_what_does_not_fit_is_refused_in_the_same_words(folder: Path, refusals: Any, changes: dict[str, Any]) -> None:
    (folder / "v.engine.json").write_bytes(replace(SIDECAR, **changes).to_bytes())
    native, python = refusals(folder)
    assert native == python


@pytest.mark.parametrize(("name", "value"), [*UNUSABLE, ("surprise", 1)])
def test_entries_that_cannot_be_used_are_refused(folder: Path, refusals: Any, name: str, value: Any) -> None:
    """By both, each in its own words about JSON."""
    (folder / "v.engine.json").write_text(json.dumps({**json.loads(SIDECAR.to_bytes()), name: value}))
    for sentence in refusals(folder):
        assert sentence.startswith(str(folder / "v.engine.json"))
        assert sentence.endswith(": build the engine again with this version")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b" " * ((1 << 16) + 1), b"{}"])
def test_what_is_no_sidecar_is_refused(folder: Path, refusals: Any, data: bytes) -> None:
    (folder / "v.engine.json").write_bytes(data)
    for sentence in refusals(folder):
        assert sentence.startswith(str(folder / "v.engine.json"))
        assert sentence.endswith(": build the engine again with this version")


@pytest.mark.parametrize("name", ["v.engine", "v.engine.json"])
def test_links_and_missing_files_are_refused(folder: Path, refusals: Any, name: str) -> None:
    (folder / name).rename(folder / "real")
    (folder / name).symlink_to(folder / "real")
    for sentence in refusals(folder):
        assert "link" in sentence
    (folder / name).unlink()
    for sentence in refusals(folder):
        assert str(folder / name) in sentence
        assert "`cavsync export RUN --out BUNDLE --trt" in sentence


KINDS = ("INCLUDE", "LIBRARY")


def cmake_line(tmp_path: Path, setting: str, root: Path, cuda: Path) -> tuple[int, str]:
    """What CMake says where it finds nothing but in these folders."""
    places = [f"-DCMAKE_FIND_ROOT_PATH={tmp_path}", *(f"-DCMAKE_FIND_ROOT_PATH_MODE_{x}=ONLY" for x in KINDS)]
    names = ["-DCMAKE_FIND_LIBRARY_PREFIXES=lib", "-DCMAKE_FIND_LIBRARY_SUFFIXES=.so"]
    folders = [f"-DCAVSYNC_TENSORRT={setting}", f"-DTENSORRT_ROOT={root}", f"-DCUDA_ROOT={cuda}"]
    command = ["cmake", *folders, *places, *names, "-P", str(ROOT / "cmake/tensorrt.cmake")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_missing_sdk_is_a_line_or_an_error(build: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert cmake_line(tmp_path, "OFF", nothing, nothing) == (0, "-- cavsync: engine TensorRT: off, by CAVSYNC_TENSORRT")
    status, line = cmake_line(tmp_path, "AUTO", nothing, nothing)
    assert (status, "engine TensorRT: off, no SDK of TensorRT or TensorRT-RTX was found" in line) == (0, True)
    status, line = cmake_line(tmp_path, "ON", nothing, nothing)
    assert (status, "CAVSYNC_TENSORRT is ON and no SDK of TensorRT" in line) == (1, True)


@pytest.mark.parametrize(
    ("library", "version", "words"),
    [
        ("nvinfer", "#define NV_TENSORRT_MAJOR 11", "on, as tensorrt from "),
        ("nvinfer", "#define TRT_MAJOR_ENTERPRISE 10 //!< major\n#define NV_TENSORRT_MAJOR x", "on, as tensorrt from "),
        ("nvinfer", "#define NV_TENSORRT_MAJOR 8 //!< major", "are of TensorRT 8: give those of 10 or newer"),
        ("nvinfer", "", "are of TensorRT 0: give"),
        ("tensorrt_rtx", "#define TRT_MAJOR_RTX 1", "on, as tensorrt_rtx from "),
    ],
)
def test_cmake_tells_the_products_apart(build: Path, tmp_path: Path, library: str, version: str, words: str) -> None:
    for name in ("sdk/include", "sdk/lib", "cuda/include", "cuda/lib64"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sdk/include/NvInferRuntime.h").touch()
    (tmp_path / "sdk/include/NvInferVersion.h").write_text(version)
    (tmp_path / f"sdk/lib/lib{library}.so").touch()
    (tmp_path / "cuda/include/cuda_runtime_api.h").touch()
    status, line = cmake_line(tmp_path, "AUTO", tmp_path / "sdk", tmp_path / "nothing")
    assert (status, "off, the CUDA runtime (cuda_runtime_api.h, libcudart) was not found" in line) == (0, True)
    (tmp_path / "cuda/lib64/libcudart.so").touch()
    status, line = cmake_line(tmp_path, "AUTO", tmp_path / "sdk", tmp_path / "cuda")
    assert (status, words in line) == (0, True), line


def package_folder(name: str, *parts: str) -> Path:
    """A folder inside a Python package; the test is skipped without the package."""
    spec = importlib.util.find_spec(name)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        if (folder := Path(place).joinpath(*parts)).is_dir():
            return folder
    pytest.skip(f"{'/'.join((name, *parts))} is not installed")


def cuda_headers() -> Path:
    """NVIDIA's headers of the CUDA runtime, which Triton ships."""
    return package_folder("triton", "backends", "nvidia", "include")


@pytest.mark.parametrize(
    "source", ["src/tensorrt/tensorrt_engine.cpp", "src/tensorrt/cuda_device.cpp", "tests/tensorrt_sdk/cuda.cpp"]
)
def test_the_sources_and_the_stand_in_fit_the_header_of_cuda(build: Path, source: str) -> None:
    """Functions of the stand-in that differed from NVIDIA's declarations would not compile."""
    header = cuda_headers() / "cuda_runtime_api.h"
    places = [f"-I{header.parent}", f"-I{STAND_IN / 'include'}", f"-I{STAND_IN}"]
    places += [f"-I{ROOT / 'src'}", f"-I{ROOT / 'include'}", '-DCAVSYNC_TENSORRT_RUNTIME="tensorrt"']
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-H"]
    done = subprocess.run(["g++", *flags, *places, str(ROOT / source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f" {header}\n" in done.stderr
    assert f"{STAND_IN}/include/cuda_runtime_api.h" not in done.stderr


@pytest.mark.skipif(find_gpu()[0] is not None, reason="there is a GPU")
def test_the_cuda_runtime_without_a_gpu_is_a_sentence(build: Path, tmp_path: Path) -> None:
    """NVIDIA's own library, as far as it goes here."""
    libraries = package_folder("nvidia", "cu13", "lib")
    (tmp_path / "main.cpp").write_text(
        '#include "tensorrt/cuda_device.h"\n#include "error.h"\n#include <cstdio>\n'
        'int main() { try { cavsync::compute_capability(0, "It"); } '
        "catch (const cavsync::Error& error) { std::puts(error.what()); } }\n"
    )
    sources = [tmp_path / "main.cpp", ROOT / "src/tensorrt/cuda_device.cpp", ROOT / "src/text.cpp"]
    places = [f"-isystem{cuda_headers()}", f"-I{ROOT / 'src'}", f"-I{ROOT / 'include'}"]
    linked = [f"-L{libraries}", "-l:libcudart.so.13", f"-Wl,-rpath,{libraries}"]
    command = ["g++", "-std=c++17", *places, *map(str, sources), "-o", str(tmp_path / "main"), *linked]
    subprocess.run(command, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("It needs an NVIDIA GPU, and here CUDA shows none (")
    assert "(there is none)" not in said


def test_the_version_of_the_real_library_is_that_of_its_python_package(build: Path) -> None:
    """The library compares it with the sidecar's, which Python wrote."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    if spec is None or spec.origin is None:
        pytest.skip("TensorRT-RTX is not installed")
    library = ctypes.CDLL(str(Path(spec.origin).with_name("libtensorrt_rtx.so.1")))
    names = [f"getInferLib{part}Version" for part in ("Major", "Minor", "Patch", "Build")]
    found = ".".join(str(getattr(library, name)()) for name in names)
    assert found == importlib.import_module("tensorrt_rtx").__version__
