"""Check the classifier of a bundle; scorers do not use it, so only `verify` and the export do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cavsync.deploy.runtime.onnx import OnnxGraph
from cavsync.errors import BundleError
from cavsync.manifest import Manifest

INPUTS = (["log_mel", "frames"], ["log_mel"], ["frames"])
TARGETS = ("multi-label", "single-label", None)


def check_classifier(
    bundle: Path, manifest: Manifest, *, threads: int | None = None, cores: Sequence[int] | None = None
) -> None:
    """Open the classifier's graph, if the bundle has one, and compare its inputs and outputs with the manifest.

    Raises:
        BundleError: it is missing, changed or unusable, or has another number of logits than classes.
    """
    found = manifest.classifier
    if found is None:
        return
    graph = found.graph
    inputs, outputs = ([tensor.name for tensor in tensors] for tensors in (graph.inputs, graph.outputs))
    if inputs not in INPUTS or outputs != ["logits"]:
        raise BundleError(
            f"{bundle} declares a classifier without the input log_mel or frames, or with another output than logits: "
            "export the bundle again"
        )
    if graph.outputs[0].shape[1:] != [len(found.classes)]:
        raise BundleError(
            f"{bundle} names {len(found.classes)} classes and declares logits of shape "
            f"{graph.outputs[0].shape!s:.80}, they should be as many: export the bundle again"
        )
    if found.target not in TARGETS:
        raise BundleError(
            f"{bundle} declares classifier.target = {found.target!a:.60}, expected multi-label or single-label: "
            "export the bundle again with this version"
        )
    OnnxGraph(bundle, graph, manifest.files[graph.file], providers=None, threads=threads, cores=cores)
