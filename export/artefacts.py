"""Write the graphs and engines of a bundle; each is checked against the model before it is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import onnx
from numpy.typing import NDArray

from cavsync.errors import ExportError
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.export.classifier import classifier_stage
from cavsync.export.departure import departure_from_graph, departure_from_model
from cavsync.export.fold_frames import fold_frames
from cavsync.export.graph_inputs import Inputs, graph_inputs
from cavsync.export.graphs import encoder_names, stages, write_graph
from cavsync.export.parity import OutputParity, Reference, complaint, differs_only_by_batch, worst_of
from cavsync.export.precision.candidates import EncoderVariant, fastest, fastest_runtime, int8_candidates
from cavsync.export.precision.half import Half, in_half, on_cpu
from cavsync.export.runners import open_runner
from cavsync.export.samples import SampleSets
from cavsync.export.storage import store_compactly
from cavsync.manifest import CLASSIFIER, EngineSpec, GraphSpec, TensorSpec
from cavsync.model.encoder import AudioVisualEncoder

Array = NDArray[Any]
Say = Callable[[str], None]
INT8_GRAPH = ("onnxruntime", "int8")
# The default is the newest opset that TensorRT builds in float32: later ones fuse attention into an operator that it
# refuses. bf16 convolutions need opset 22, 8-bit floats 19.
OPSETS = {"bf16": 22, "fp8": 22}
DEFAULT_OPSET = 18


@dataclass
class Artefacts:
    """Artefacts written to `folder`: graphs by name, engines, parity, the table of int8 candidates, and engines
    that could not be run on this machine."""

    folder: Path
    work: Path
    model: AudioVisualEncoder
    samples: SampleSets
    reference: Reference
    metadata: dict[str, str]
    on_stage: Say
    classifier: OpenClassifier | None = None
    graphs: dict[str, GraphSpec] = field(default_factory=dict)
    engines: list[EngineSpec] = field(default_factory=list)
    parity: list[OutputParity] = field(default_factory=list)
    candidates: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    precision: str = "fp32"

    @property
    def encoders(self) -> tuple[str, ...]:
        """See `encoder_names`."""
        return encoder_names(self.model.config)

    @cached_property
    def _range_inputs(self) -> dict[str, Inputs]:
        """Inputs of each graph for finding the ranges of activations."""
        return graph_inputs(self.model, self.samples.ranges.inputs)

    def write_encoders(self, precision: str, *, compact: bool) -> dict[str, Path]:
        """Write all graphs, the encoders in `precision`; returns the float32 graphs, sources for engines."""
        paths = self._write_float32(precision, compact=compact)
        if precision in ("int8", "auto"):
            self._write_int8(paths, keep_all=precision == "auto")
            self.precision = "int8"
        else:
            half = paths if precision in ("fp32", "fp8") else self.write_half(paths, precision)
            for name in self.encoders:
                # The CPU provider has no bf16 products: the graph stays float32, and bf16 is an additional engine.
                shutil.copy((paths if precision == "bf16" else half)[name], self.folder / self.graphs[name].file)
                if precision == "bf16":
                    shutil.copy(half[name], self.folder)
                    self.engines.append(EngineSpec(name, "onnxruntime", precision, half[name].name))
            self.precision = "fp32" if precision in ("bf16", "fp8") else precision
            if self.precision == "fp32" and self.model.config.frame_differences:
                self._fold_frames(paths["visual_encoder"])
        return paths

    def _write_float32(self, precision: str, *, compact: bool) -> dict[str, Path]:
        """Write float32 graphs in the opset of `precision`; all but the encoders are final."""
        paths, made = {}, stages(self.model)
        if self.classifier is not None:
            made[CLASSIFIER] = classifier_stage(self.classifier)
        for name, stage in made.items():
            self.on_stage(f"exporting {stage.spec.file}")
            opset = OPSETS.get(precision, DEFAULT_OPSET)
            paths[name] = write_graph(stage, self.work, {"role": name, **self.metadata}, opset)
            if compact:
                store_compactly(paths[name])
            self.graphs[name] = stage.spec
        self.on_stage("checking parity of the float32 graphs")
        for name, path in paths.items():
            results = self.reference.check(f"{name}, float32", name, open_runner(path, "onnxruntime"), "fp32")
            self.require(results, partial(self._departure_from_model, name, path))
        for name in paths.keys() - set(self.encoders):
            shutil.copy(paths[name], self.folder)
        return paths

    def _fold_frames(self, source: Path) -> None:
        path = self.folder / self.graphs["visual_encoder"].file
        fold_frames(path)
        self.check("visual_encoder, frames folded", "visual_encoder", path, "onnxruntime", "fp32", source)

    def write_half(self, paths: dict[str, Path], precision: str) -> dict[str, Path]:
        """Write fp16 or bf16 encoders to the work folder and check them."""
        made = {}
        for name in self.encoders:
            self.on_stage(f"computing the products of {name} in {precision}")
            source = onnx.load(str(paths[name]))
            made[name] = self.work / f"{name}.{precision}.onnx"
            onnx.save(in_half(source, cast(Half, precision)), str(made[name]))
            self.check(f"{name}, {precision}", name, made[name], "onnxruntime", precision, paths[name])
        return made

    def _write_int8(self, paths: dict[str, Path], *, keep_all: bool) -> None:
        """Write int8 encoders: ONNX Runtime's fastest is the graph; the fastest of all, or every other, an engine."""
        found = {}
        for name in self.encoders:
            self.on_stage(f"quantizing {name}")
            found[name] = int8_candidates(paths[name], self.work, *self.int8_samples(name), self.on_stage)
        best = fastest_runtime(found)
        for name, candidates in found.items():
            chosen, portable = fastest(candidates, best), fastest(candidates, "onnxruntime")
            for candidate in candidates:
                # One file per runtime and precision, because users choose by these.
                is_engine = candidate is chosen or (keep_all and (candidate.runtime, candidate.precision) != INT8_GRAPH)
                if candidate is not portable and not (is_engine and candidate.reaches_goal):
                    continue
                artefact = f"{name}, {candidate.name}"
                self.check(artefact, name, candidate.files[0], candidate.runtime, candidate.precision, paths[name])
                if candidate is portable:
                    self._place_graph(name, candidate)
                else:
                    self.engines.append(self._place_engine(name, candidate))
            self.candidates[name] = [candidate.row(candidate is chosen) for candidate in candidates]

    def int8_samples(self, name: str) -> tuple[Array, Array, Array]:
        """Return inputs for finding ranges, inputs for comparing, and the model's embeddings of the latter."""
        count = len(self.samples.compare)
        (compare,) = self.reference.inputs[name].values()
        (ranges,) = self._range_inputs[name].values()
        return ranges, compare[:count], self.reference.outputs[name][0][:count]

    def check(self, artefact: str, graph: str, path: Path, runtime: str, precision: str, source: Path) -> None:
        """Check one file against the model; ExportError names the first layer that departs from the float32 graph
        `source`."""

        def culprit(worst: OutputParity) -> str:
            if runtime == "openvino":
                return "OpenVINO's graph has no tensors to compare"
            found = onnx.load(str(path))
            candidate = on_cpu(found) if precision in ("fp16", "bf16") else found
            return departure_from_graph(
                onnx.load(str(source)), candidate, self.reference.worst_input(graph, worst), precision
            )

        self.require(self.reference.check(artefact, graph, open_runner(path, runtime, precision), precision), culprit)

    def require(self, results: Sequence[OutputParity], culprit: Callable[[OutputParity], str]) -> None:
        """Record results; if some did not pass, raise ExportError with what `culprit` returns for the worst."""
        self.parity += results
        failed = [result for result in results if not result.passed]
        if not failed:
            return
        worst = worst_of(failed)
        is_batch = differs_only_by_batch(worst)
        raise ExportError(complaint(failed, "single inputs agree, batches do not" if is_batch else culprit(worst)))

    def _departure_from_model(self, name: str, path: Path, worst: OutputParity) -> str:
        if name == "audio_frontend":
            return "compare its samples, windows, filter bank and logarithm with torchaudio's"
        sample = self.reference.worst_input(name, worst)
        return departure_from_model(name, onnx.load(str(path)), self.model, sample)

    def _place_graph(self, name: str, candidate: EncoderVariant) -> None:
        shutil.copy(candidate.files[0], self.folder / self.graphs[name].file)
        if candidate.is_single:
            self.graphs[name] = single(self.graphs[name])

    def _place_engine(self, name: str, candidate: EncoderVariant) -> EngineSpec:
        for path in candidate.files:
            shutil.copy(path, self.folder / self._engine_file(path))
        names = [self._engine_file(path) for path in candidate.files]
        return EngineSpec(name, candidate.runtime, candidate.precision, names[0], names[1:])

    def _engine_file(self, path: Path) -> str:
        """File name of an engine; a float32 graph must not take the name of the bundle's own graph."""
        return path.name if path.name not in {spec.file for spec in self.graphs.values()} else f"{path.stem}.fp32.onnx"


def single(spec: GraphSpec) -> GraphSpec:
    """The spec of the same graph with a batch of one."""

    def fixed(tensors: list[TensorSpec]) -> list[TensorSpec]:
        return [replace(tensor, shape=[1, *tensor.shape[1:]]) for tensor in tensors]

    return replace(spec, inputs=fixed(spec.inputs), outputs=fixed(spec.outputs))
