"""An engine's sidecar is read strictly, and an engine that does not fit the machine is refused before it is opened."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sidecars import UNUSABLE, sidecar_of

from cavsync.deploy.runtime.sidecar import (
    MAX_SIDECAR_BYTES,
    BatchProfile,
    Sidecar,
    check_loadable,
    read_sidecar,
    rebuild_command,
)
from cavsync.errors import BundleError
from cavsync.manifest import TensorSpec

PLAN = b"no engine, and nobody opens it"
SIDECAR = sidecar_of(
    PLAN,
    [TensorSpec("frames", ["batch", 3, 8, 8, 3], "uint8")],
    [TensorSpec("embedding", ["batch", 4], "float32")],
    BatchProfile(1, 8, 64),
)
REBUILD = "`cavsync export RUN --out BUNDLE --trt rtx --precision fp16 --compute-capability 89`"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "visual_encoder.tensorrt_rtx.sm89.engine"
    path.write_bytes(PLAN)
    return path


def refusal(sidecar: Sidecar, engine: Path, version: str = "1.7.1.116", capability: str = "89") -> str:
    with pytest.raises(BundleError) as caught:
        check_loadable(sidecar, engine, library_version=version, compute_capability=capability)
    return str(caught.value)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for sidecar in (SIDECAR, replace(SIDECAR, compute_capabilities=[], cuda_version="", library_version="11.4.0.2")):
        path.write_bytes(sidecar.to_bytes())
        assert read_sidecar(path) == sidecar


@pytest.mark.parametrize(("name", "value"), UNUSABLE)
def test_entries_that_cannot_be_used_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**json.loads(SIDECAR.to_bytes()), name: value}), encoding="utf-8")
    with pytest.raises(BundleError, match="format" if name == "format_version" else f"(declares|entry '.*' in) {name}"):
        read_sidecar(path)


def test_missing_and_unknown_entries_are_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "a.json", json.loads(SIDECAR.to_bytes())
    path.write_text(json.dumps({**content, "surprise": 1}), encoding="utf-8")
    with pytest.raises(BundleError, match="unknown entry 'surprise'"):
        read_sidecar(path)
    del content["batch"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match="no entry 'batch'"):
        read_sidecar(path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 60_000, b" " * (MAX_SIDECAR_BYTES + 1)])
def test_what_is_no_sidecar_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"JSON object|larger than"):
        read_sidecar(path)


def test_links_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(SIDECAR.to_bytes())
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(BundleError, match="link"):
        read_sidecar(tmp_path / "link.json")
    with pytest.raises(BundleError, match="used only with its sidecar"):
        read_sidecar(tmp_path / "none.json")
    assert f"rebuild the engine with {REBUILD}" in refusal(SIDECAR, tmp_path / "none.engine")


def test_a_fitting_engine_is_returned(engine: Path) -> None:
    """Also with another build of the same release."""
    for version in ("1.7.1.116", "1.7.1.120"):
        assert check_loadable(SIDECAR, engine, library_version=version, compute_capability="89") == PLAN


@pytest.mark.parametrize("changed", [PLAN[:-1], PLAN + b"!", b"X" + PLAN[1:], b""])
def test_a_changed_engine_is_refused(changed: bytes, engine: Path) -> None:
    engine.write_bytes(changed)
    message = refusal(SIDECAR, engine)
    assert "differs from the size and hash in its sidecar" in message
    assert message.endswith(f"rebuild the engine with {REBUILD}")


@pytest.mark.parametrize("version", ["1.7.2.116", "1.8.0", "2.7.1.116", "1.7"])
def test_another_release_is_refused(version: str, engine: Path) -> None:
    message = refusal(SIDECAR, engine, version=version)
    assert f"was built by TensorRT-RTX 1.7.1.116 and this machine has {version}" in message
    assert message.endswith(f"rebuild the engine with {REBUILD}")


@pytest.mark.parametrize(
    ("capability", "command"),
    [
        ("86", "--trt rtx --precision fp16 --compute-capability 86"),
        ("75", "--trt rtx --precision fp16 --compute-capability 75"),
        # TensorRT-RTX has nothing for these.
        ("90", "--trt tensorrt --precision fp16"),
        ("100", "--trt tensorrt --precision fp16"),
    ],
)
def test_another_gpu_is_refused(capability: str, command: str, engine: Path) -> None:
    message = refusal(SIDECAR, engine, capability=capability)
    assert f"was built for compute capability 89 and this GPU has {capability}" in message
    assert message.endswith(f"with `cavsync export RUN --out BUNDLE {command}`")


def test_an_engine_for_no_named_gpu_runs_on_what_its_library_covers(engine: Path) -> None:
    """NVIDIA's documentation: 8.0, 8.6, 8.9, 12.0 and later, not Turing; and TensorRT-RTX is for no data centre."""
    portable = replace(SIDECAR, compute_capabilities=[])
    for capability in ("80", "86", "89", "120", "121", "130"):
        assert check_loadable(portable, engine, library_version="1.7.1.116", compute_capability=capability) == PLAN
    for capability in ("75", "90", "100", "110"):
        assert f"and this GPU has {capability}" in refusal(portable, engine, capability=capability)


def test_the_command_names_library_precision_and_gpus() -> None:
    example = "cavsync export RUN --out BUNDLE --trt rtx --compute-capability 89"
    assert rebuild_command("tensorrt_rtx", "fp32", ["89"]) == example
    assert rebuild_command("tensorrt", "int8", []) == "cavsync export RUN --out BUNDLE --trt tensorrt --precision int8"
