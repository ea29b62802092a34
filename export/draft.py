"""Draft the manifest of a bundle; calibration, engines and hashes follow when the files are written."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import nn

from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.evaluate.inputs.model_bundle import default_sync
from cavsync.export.classifier import classifier_spec
from cavsync.manifest import (
    FRAME_ENCODER,
    AudioSpec,
    FrontendSpec,
    GraphSpec,
    Manifest,
    SyncSpec,
    VisualSpec,
    sha256_file,
)
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.fingerprint import architecture_fingerprint
from cavsync.run import Run, RunConfig

REPORTED_PACKAGES = ("cavsync", "torch", "torchaudio", "onnx", "onnxruntime", "openvino", "nncf", "tensorrt_rtx")


def draft(
    run: Run,
    model: AudioVisualEncoder,
    graphs: dict[str, GraphSpec],
    *,
    classifier: OpenClassifier | None,
    sync: SyncSpec | None,
    name: str | None,
    weights_licence: str,
    precision: str,
) -> Manifest:
    """Describe a bundle by its run, its model and the options of the export."""
    config = model.config
    return Manifest(
        name=name or run.name,
        model=config.model_dump(mode="json"),
        precision=precision,
        frontend=FrontendSpec(),
        audio=AudioSpec(segment_frames=config.audio_length, mean=AUDIO_MEAN, std=AUDIO_STD),
        visual=VisualSpec(config.img_size, config.num_frames, config.frame_step_seconds),
        sync=sync or default_sync(config),
        audio_frontend=graphs["audio_frontend"],
        audio_encoder=graphs["audio_encoder"],
        visual_encoder=graphs["visual_encoder"],
        frame_encoder=graphs.get(FRAME_ENCODER),
        classifier=classifier_spec(classifier, graphs) if classifier else None,
        weights_licence=weights_licence,
        versions=_versions(),
        source=source_of(run, model),
    )


def source_of(run: Run, model: nn.Module) -> dict[str, Any]:
    """Describe where the weights of a run come from, for the manifest."""
    return {
        "run": run.name,
        "step": run.step,
        "fingerprint": architecture_fingerprint(model.state_dict()),
        "weights_sha256": sha256_file(run.checkpoint.weights),
        "trained_on": _trained_on(run.config),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _trained_on(config: RunConfig) -> str:
    train, source = config.train, config.source
    if train:
        return f"preset {train.get('preset', 'not stated')}, seed {train.get('seed', 'not stated')}"
    if source:
        return f"converted from {source.get('file', 'another checkpoint')} (sha256 {str(source.get('sha256'))[:16]})"
    return "not stated"
