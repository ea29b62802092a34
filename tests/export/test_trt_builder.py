"""The builder's process: refused graphs, impossible batches, crashes and timing caches."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from cavsync.deploy.runtime.cuda_device import Gpu
from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.errors import ExportError
from cavsync.export.trt import Library, build_engine

rtx_only = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed: pip install 'cavsync[trt]'"
)
PROFILE = BatchProfile(1, 8, 64)
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
