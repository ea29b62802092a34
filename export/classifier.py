"""Export a classifier's run: load it, and describe its graph from inputs to logits."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from cavsync.data.logmel import normalise
from cavsync.errors import ConfigError
from cavsync.evaluate.classify.classifier import OpenClassifier, open_classifier
from cavsync.export.graphs import GraphStage, TakesFrames, encoder_inputs, example_of
from cavsync.export.parity import CLASSIFIER_INPUTS
from cavsync.manifest import CLASSIFIER, ClassifierSpec, GraphSpec, TensorSpec
from cavsync.model.checkpoint import model_of
from cavsync.model.classifier import CAVMAEFT, TrainedMode
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.run import Run


class Classifier(TakesFrames):
    """Raw log-mel (B, L, 128), RGB frames (B, T, H, W, 3) uint8, or both, as `mode` says -> logits (B, classes)."""

    def __init__(self, model: CAVMAEFT, mode: TrainedMode) -> None:
        super().__init__()
        self.model, self.mode = model, mode

    def forward(self, log_mel: Tensor | None = None, frames: Tensor | None = None) -> Tensor:
        """Normalise and classify."""
        audio = None if log_mel is None else normalise(log_mel)
        images = None if frames is None else self.normalised(frames)
        logits: Tensor = self.model(audio, images, self.mode)
        return logits


def check_run(run: Run, precision: str, labels: Path | None, *, has_engines: bool) -> None:
    """Raise ConfigError for options that do not fit what a run holds."""
    if run.is_classifier and (precision != "fp32" or has_engines):
        wish = f"--precision {precision}" if precision != "fp32" else "--trt"
        raise ConfigError(
            f"'{run.folder.path}' holds a classifier, which is exported in fp32 to ONNX only: leave out {wish}; "
            "--storage half or int8 makes its files smaller"
        )
    if labels is not None and not run.is_classifier:
        raise ConfigError(f"'{run.folder.path}' holds a pretraining model, which has no classes: leave out --labels")


def load_run(run: Run, labels: Path | None) -> tuple[AudioVisualEncoder, OpenClassifier | None]:
    """Load the model of a run, and its classifier if it has one; errors as for `load_model`, `open_classifier`."""
    if not run.is_classifier:
        return model_of(run).eval(), None
    opened = open_classifier(run.checkpoint.path, labels)
    opened.require_frames("a bundle")
    return opened.model, opened


def trained_mode(classifier: OpenClassifier) -> TrainedMode:
    """The modalities that it was trained on; the authors' checkpoints do not state it, but have both."""
    mode = classifier.mode
    return mode if mode == "audio-only" or mode == "visual-only" else "multimodal"


def classifier_stage(classifier: OpenClassifier) -> GraphStage:
    """Describe the graph of a classifier, with the inputs that it was trained on."""
    mode, config = trained_mode(classifier), classifier.model.config
    inputs = [tensor for tensor in encoder_inputs(config) if tensor.name in CLASSIFIER_INPUTS[mode]]
    logits = TensorSpec("logits", ["batch", classifier.model.label_dim], "float32")
    return GraphStage(
        Classifier(classifier.model, mode),
        tuple(example_of(tensor) for tensor in inputs),
        (0,),
        GraphSpec(f"{CLASSIFIER}.onnx", inputs, [logits]),
    )


def classifier_spec(classifier: OpenClassifier, graphs: dict[str, GraphSpec]) -> ClassifierSpec:
    """Describe a classifier for the manifest."""
    return ClassifierSpec(graphs[CLASSIFIER], classifier.labels.display_names, classifier.target)
