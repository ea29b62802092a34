"""TensorRT builds that are refused: one sentence that names the reason, and no file left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto
from trt_graphs import PROFILE, rtx_only, small_graph

from cavsync.deploy.runtime.sidecar import BatchProfile
from cavsync.errors import ExportError
from cavsync.export.graphs import GraphStage
from cavsync.export.trt import Library, build_engine, write_engines


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
