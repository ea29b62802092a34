"""The classifier of a bundle: its graph, checked, and the probabilities of its classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.onnx import OnnxGraph
from cavsync.errors import BundleError, ConfigError
from cavsync.manifest import Manifest

LOG_MEL, FRAMES = "log_mel", "frames"
INPUTS = ([LOG_MEL, FRAMES], [LOG_MEL], [FRAMES])
MULTI_LABEL, SINGLE_LABEL = "multi-label", "single-label"
TARGETS = (MULTI_LABEL, SINGLE_LABEL, None)


@dataclass(frozen=True)
class Classifier:
    """A classifier by its `classes`. `logits` takes its `inputs`, log_mel (n, segment_frames, bins) float32 raw,
    frames (n, T, H, W, 3) uint8, or both, and gives (n, classes) float32.

    `target`: whether the classes are independent (multi-label) or exclude each other (single-label). `frames_per_clip`:
    frames that are classified together, as successive rows of the inputs; there are so many times fewer rows of logits.
    """

    classes: Sequence[str]
    target: str
    inputs: Sequence[str]
    logits: Callable[[dict[str, NDArray[Any]]], NDArray[np.float32]]
    frames_per_clip: int = 1

    def probabilities(self, log_mel: NDArray[np.float32], frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the probabilities (n / frames_per_clip, classes): a sigmoid of each logit for multi-label targets,
        else a softmax."""
        given: dict[str, NDArray[Any]] = {LOG_MEL: log_mel, FRAMES: frames}
        logits = self.logits({name: given[name] for name in self.inputs}).astype(np.float64)
        if self.target == MULTI_LABEL:
            return np.asarray(0.5 * (1 + np.tanh(logits / 2)))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def known_target(own: str | None, given: str | None, name: str) -> str:
    """Return the target of a classifier's training, or the `given` one where that is not known.

    Raises ConfigError where neither is known, or both are and differ.
    """
    if own is None and given is None:
        raise ConfigError(
            f"{name} does not say whether its classes exclude each other: pass --target single-label if they do, else "
            "--target multi-label"
        )
    if own is not None and given not in (None, own):
        raise ConfigError(f"{name} was trained for {own} classes, not {given}: leave --target out")
    return own or given or ""


def open_classifier(
    bundle: Path, manifest: Manifest, target: str | None = None, *, threads: int | None = None
) -> Classifier:
    """Open the classifier of a bundle.

    Raises:
        BundleError: as for `check_classifier`.
        ConfigError: the bundle has no classifier, or see `known_target`.
    """
    found = manifest.classifier
    if found is None:
        raise ConfigError(
            f"{bundle} has no classifier: give a bundle or run of a model that was trained with --preset finetune-... "
            "or probe"
        )
    graph = _opened(bundle, manifest, threads, None)
    assert graph is not None
    names = [tensor.name for tensor in found.graph.inputs]
    return Classifier(
        found.classes,
        known_target(found.target, target, str(bundle)),
        names,
        lambda inputs: graph.run_on(inputs, "logits"),
    )


def check_classifier(
    bundle: Path, manifest: Manifest, *, threads: int | None = None, cores: Sequence[int] | None = None
) -> None:
    """Open the classifier's graph, if the bundle has one, and compare its inputs and outputs with the manifest.

    Raises:
        BundleError: it is missing, changed or unusable, or has another number of logits than classes.
    """
    _opened(bundle, manifest, threads, cores)


def _opened(bundle: Path, manifest: Manifest, threads: int | None, cores: Sequence[int] | None) -> OnnxGraph | None:
    found = manifest.classifier
    if found is None:
        return None
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
    return OnnxGraph(bundle, graph, manifest.files[graph.file], providers=None, threads=threads, cores=cores)
