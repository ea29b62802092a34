"""Exports that are broken on purpose: each is caught, told by the layer where it begins, and leaves nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exported import float32_graph, lively_model, lively_run, remembered_graph
from numpy.typing import NDArray
from onnx import numpy_helper

from cavsync.errors import ExportError
from cavsync.export import artefacts, export_bundle
from cavsync.export import graphs as graphs_module
from cavsync.export.graphs import GraphStage, write_graph
from cavsync.export.parity import Reference, complaint
from cavsync.export.precision import half
from cavsync.export.runners import open_runner
from cavsync.export.samples import noise, sample_sets
from cavsync.model.checkpoint import save_model

Array = NDArray[Any]


def refusal(run_dir: Path, folder: Path, precision: str = "fp32") -> str:
    """The one sentence; nothing is left beside it."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(ExportError) as caught:
        export_bundle(run_dir, folder / "bundle", precision=precision, calibration_clips=[])
    assert list(folder.iterdir()) == []
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith("; no bundle was written")
    return sentence


def broken(monkeypatch: pytest.MonkeyPatch, graph: str, weight: str, change: Any) -> None:
    """The exporter writes `graph` with the values of `weight`, which a layer has one of, changed."""

    def write(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
        path = remembered_graph(stage, folder, metadata, opset)
        if path.stem == graph:
            model = onnx.load(str(path))
            (tensor,) = [item for item in model.graph.initializer if item.name == weight]
            values = change(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), weight))
            onnx.save(model, str(path))
        return path

    monkeypatch.setattr(artefacts, "write_graph", write)


def test_a_norm_in_fp16_that_overflows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The residual stream holds millions, which the norm would be given in fp16. Without the norm all is well."""
    model = lively_model()
    with torch.no_grad():
        model.pos_embed_v.mul_(1e6)
    save_model(model, tmp_path / "run", 0)
    written: dict[str, Path] = {}

    def once(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
        if stage.spec.file not in written:
            keep = tmp_path / "graphs"
            keep.mkdir(exist_ok=True)
            written[stage.spec.file] = write_graph(stage, keep, metadata, opset)
        (folder / stage.spec.file).write_bytes(written[stage.spec.file].read_bytes())
        return folder / stage.spec.file

    monkeypatch.setattr(artefacts, "write_graph", once)
    export_bundle(tmp_path / "run", tmp_path / "sound", precision="fp16", calibration_clips=[])
    too_much = (*half.PRODUCTS, "LayerNormalization")
    monkeypatch.setattr(artefacts, "in_half", partial(half.in_half, operations=too_much))
    sentence = refusal(tmp_path / "run", tmp_path / "out", "fp16")
    assert "visual_encoder, fp16 does not compute" in sentence
    assert "it departs in blocks_v.0 (LayerNormalization), whose output is off by" in sentence


def test_swapped_constants_of_the_frames_are_before_the_first_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the patch projection is given is wrong already."""

    def write(stage: GraphStage, folder: Path, metadata: dict[str, str], opset: int = 18) -> Path:
        is_broken = stage.spec.file == "visual_encoder.onnx"
        return (write_graph if is_broken else remembered_graph)(stage, folder, metadata, opset)

    monkeypatch.setattr(artefacts, "write_graph", write)
    mean, std = graphs_module.IMAGENET_MEAN, graphs_module.IMAGENET_STD
    monkeypatch.setattr(graphs_module, "IMAGENET_MEAN", std)
    monkeypatch.setattr(graphs_module, "IMAGENET_STD", mean)
    sentence = refusal(lively_run(), tmp_path / "out")
    assert "the exported visual_encoder, float32 does not compute" in sentence
    assert "it departs before patch_embed_v.proj, whose input is off by" in sentence


def test_a_transposed_patch_projection_is_the_layer_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its input agrees, its output does not."""
    broken(monkeypatch, "visual_encoder", "model.patch_embed_v.proj.weight", lambda value: value.transpose(0, 1, 3, 2))
    sentence = refusal(lively_run(), tmp_path / "out")
    assert "the exported visual_encoder, float32 does not compute" in sentence
    assert "it departs in patch_embed_v.proj, whose output is off by" in sentence
    assert "before" not in sentence


@pytest.mark.parametrize(
    "layer", ["blocks_u.1.attn.qkv", "blocks_u.1.attn.proj", "blocks_u.1.mlp.fc1", "blocks_u.1.mlp.fc2"]
)
def test_a_wrong_weight_deep_inside_is_named(layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output feature of one linear layer of the last block."""

    def change(value: Array) -> Array:
        spoilt = value.copy()
        spoilt[3] = 5 - spoilt[3]
        return spoilt

    broken(monkeypatch, "audio_encoder", f"model.{layer}.weight", change)
    sentence = refusal(lively_run(), tmp_path / "out")
    assert "the exported audio_encoder, float32 does not compute" in sentence
    assert f"it departs in {layer}, whose output is off by" in sentence


def test_a_wrong_weight_of_a_half_graph_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found against the float32 graph, tensor by tensor; the float32 graph passes."""
    monkeypatch.setattr(artefacts, "write_graph", remembered_graph)

    def spoilt(model: onnx.ModelProto, kind: half.Half) -> onnx.ModelProto:
        made = half.in_half(model, kind)
        for tensor in made.graph.initializer:
            if tensor.name.startswith("model.blocks_u.1.mlp.fc1.weight"):
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return made

    monkeypatch.setattr(artefacts, "in_half", spoilt)
    for kind in ("fp16", "bf16"):
        sentence = refusal(lively_run(), tmp_path / kind, kind)
        assert f"the exported audio_encoder, {kind} does not compute" in sentence
        assert "it departs in blocks_u.1.mlp.fc1 (Gemm), whose output is off by" in sentence


def test_the_worst_samples_are_named_worst_first() -> None:
    """Two samples are disturbed, one of them more."""
    model = lively_model()
    sets = sample_sets(model.config, [])
    reference = Reference.of(model, sets.compare, noise(model.config))
    run = open_runner(float32_graph("audio_encoder"), "onnxruntime")
    disturbed = {5: 1.0, 9: 3.0}
    place_of = {array.tobytes(): place for place, array in enumerate(reference.inputs["audio_encoder"]["log_mel"])}

    def disturbing(values: Array) -> list[Array]:
        got = run(values)
        for row, array in enumerate(values):
            got[0][row, 0] += disturbed.get(place_of[array.tobytes()], 0.0)
        return got

    results = reference.check("made up", "audio_encoder", disturbing, "fp32")
    embedding, patches = results
    assert (embedding.passed, patches.passed) == (False, True)
    moments = sets.compare.moments
    assert embedding.worst_samples[:2] == [moments[9], moments[5]]
    sentence = complaint([embedding], "somewhere")
    assert f"worst for {moments[9]}, {moments[5]}, " in sentence
    assert moments[5].startswith("generated ")
    assert " at " in moments[5]


def test_refusals_name_moments_of_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, "audio_encoder", "model.blocks_a.0.mlp.fc2.weight", lambda value: -value)
    sentence = refusal(lively_run(), tmp_path / "out")
    named = sentence.partition("worst for ")[2].partition(";")[0].split(", ")
    known = set(sample_sets(lively_model().config, []).compare.moments) | {"noise"}
    assert len(named) == 3
    assert set(named) <= known
