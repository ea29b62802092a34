"""Check that exported graphs compute what the model computes: errors per output, on clips and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cavsync.errors import ExportError
from cavsync.export.samples import Samples, reference_log_mel
from cavsync.manifest import CLASSIFIER, FRAME_ENCODER
from cavsync.model.classifier import TrainedMode
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.pair_stem import PairStem

Array = NDArray[Any]
# A graph's inputs by name, in the order of the manifest.
Inputs = Mapping[str, Array]
# A graph's outputs for its inputs, both in the order of the manifest.
Runner = Callable[..., list[Array]]

OUTPUTS = {
    "audio_frontend": ("log_mel",),
    "audio_encoder": ("embedding", "patches"),
    "visual_encoder": ("embedding", "patches"),
    FRAME_ENCODER: ("features",),
    CLASSIFIER: ("logits",),
}
# A classifier's inputs are the encoders' inputs at the same moments.
CLASSIFIER_INPUTS: dict[TrainedMode, tuple[str, ...]] = {
    "multimodal": ("log_mel", "frames"),
    "audio-only": ("log_mel",),
    "visual-only": ("frames",),
}
# Log-mel values are logarithms: an absolute error is already relative.
MAX_LOG_MEL_ERROR = 2e-2
MEAN_LOG_MEL_ERROR = 1e-4
# Differences between samples must survive too (centred cosine), unless they are below this, which is rounding.
MIN_SPREAD = 1e-3
NUM_NAMED = 3
NOISE = "noise"


@dataclass(frozen=True)
class Limits:
    """Limits of an output's errors in one precision: `relative_error` to the largest value of the output, the worst
    sample's `cosine`, the centred cosine over all samples of the embedding or logits and of the patches, and
    `batch_error` between batch 1 and batch N, relative like the first."""

    relative_error: float
    cosine: float
    centred_cosine: float
    centred_cosine_of_patches: float
    batch_error: float


# float32 differs by the order of summation, the others by rounding, which must hardly depend on the batch.
LIMITS = {
    "fp32": Limits(1e-4, 0.99999, 0.999, 0.999, 1e-4),
    "fp16": Limits(3e-2, 0.9995, 0.999, 0.999, 1e-2),
    "bf16": Limits(1e-1, 0.995, 0.99, 0.99, 5e-2),
    "fp8": Limits(1.0, 0.9, 0.98, 0.95, 1e-3),
    "int8": Limits(1.0, 0.9, 0.98, 0.95, 1e-3),
}


@dataclass(frozen=True)
class OutputParity:
    """One output of one artefact compared with the model's.

    Absolute errors, largest and mean error relative to the output's range, the worst sample's cosine, the cosine over
    all samples after their mean is removed, `batch_error` between batch 1 and batch N, and the names of the worst
    samples, worst first. Noise counts for errors and the plain cosine, but not for the centred cosine.
    """

    artefact: str
    precision: str
    output: str
    max_abs_error: float
    mean_abs_error: float
    relative_error: float
    mean_relative_error: float
    cosine: float
    centred_cosine: float
    batch_error: float
    worst_samples: list[str]
    passed: bool


@torch.no_grad()
def reference_outputs(graph: str, model: AudioVisualEncoder, inputs: Inputs) -> list[Array]:
    """Compute the expected outputs of a graph without the exported modules."""
    if graph == "audio_frontend":
        return [reference_log_mel(inputs["waveform"][0])[None]]
    found = run_plainly(graph, model, inputs)
    if graph in (CLASSIFIER, FRAME_ENCODER):
        return [found.numpy()]
    pooled = found.pooled / found.pooled.norm(dim=-1, keepdim=True)
    return [pooled.numpy(), found.patches.numpy()]


def run_plainly(graph: str, model: AudioVisualEncoder, inputs: Inputs) -> Any:
    """Compute the model's features, embedding or logits. The preprocessing is repeated here on purpose, with constants
    from the papers instead of the exported modules'."""
    normalised = {name: NORMALISED[name](torch.from_numpy(array)) for name, array in inputs.items()}
    if graph == "audio_encoder":
        return model.encode_audio(normalised["log_mel"])
    if graph == FRAME_ENCODER:
        return pair_stem(model).features(normalised["pairs"])
    if "features" in normalised:
        patches = model.place_frames(pair_stem(model).joined(normalised["features"]))
        return model.visual_embedding(model.visual_stream(patches))
    if graph == "visual_encoder":
        return model.encode_frames(normalised["frames"])
    mode = next(mode for mode, names in CLASSIFIER_INPUTS.items() if names == tuple(inputs))
    return model(normalised.get("log_mel"), normalised.get("frames"), mode)


def _normalised_audio(log_mel: Tensor) -> Tensor:
    return (log_mel + 5.081) / 4.4849


def _normalised_frames(frames: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((frames.permute(0, 1, 4, 2, 3).double() / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)).float()


NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    "log_mel": _normalised_audio,
    "frames": _normalised_frames,
    "pairs": _normalised_frames,
    "features": lambda features: features,
}


def pair_stem(model: AudioVisualEncoder) -> PairStem:
    """The stem of a model with `pair_stem`."""
    assert isinstance(model.patch_embed_v, PairStem)
    return model.patch_embed_v


@torch.no_grad()
def graph_inputs(model: AudioVisualEncoder, arrays: Mapping[str, Array]) -> dict[str, Inputs]:
    """Name the inputs of each graph, given audio, log-mel segments and tubelets as `Samples.inputs` has them."""
    inputs: dict[str, Inputs] = {
        "audio_frontend": {"waveform": arrays["audio_frontend"]},
        "audio_encoder": {"log_mel": arrays["audio_encoder"]},
        "visual_encoder": {"frames": arrays["visual_encoder"]},
    }
    if model.config.pair_stem:
        tubelets = arrays["visual_encoder"]
        pairs = np.stack([tubelets[:, :-1], tubelets[:, 1:]], axis=2)
        features = [pair_stem(model).features(_normalised_frames(torch.from_numpy(one))).numpy() for one in pairs]
        inputs["visual_encoder"] = {"features": np.stack(features)}
        # One pair of each tubelet is enough, at another place in each.
        count, places = pairs.shape[1], np.arange(len(pairs))
        inputs[FRAME_ENCODER] = {"pairs": pairs[places, places % count]}
    return inputs


def one_of(inputs: Iterable[Array], place: int) -> list[Array]:
    """Return the sample at `place` of each input, as a batch of one."""
    return [array[place : place + 1] for array in inputs]


@dataclass(frozen=True)
class Reference:
    """The model's outputs for `samples` followed by noise, by graph."""

    samples: Samples
    inputs: dict[str, Inputs]
    outputs: dict[str, list[Array]]

    @classmethod
    def of(
        cls,
        model: AudioVisualEncoder,
        samples: Samples,
        noise: Mapping[str, Array],
        classifier_mode: TrainedMode | None = None,
    ) -> Reference:
        """Run the model, one sample at a time so that memory stays small; as a classifier too where it has a mode."""
        arrays = {}
        for graph, array in samples.inputs.items():
            axis = 1 if graph == "audio_frontend" else 0
            arrays[graph] = np.concatenate([array, noise[graph]], axis=axis)
        inputs = graph_inputs(model, arrays)
        if classifier_mode is not None:
            both = {"log_mel": arrays["audio_encoder"], "frames": arrays["visual_encoder"]}
            inputs[CLASSIFIER] = {name: both[name] for name in CLASSIFIER_INPUTS[classifier_mode]}
        outputs = {}
        for graph, named in inputs.items():
            count = len(next(iter(named.values())))
            ones = (dict(zip(named, one_of(named.values(), place), strict=True)) for place in range(count))
            parts = [reference_outputs(graph, model, one) for one in ones]
            outputs[graph] = [np.concatenate(found) for found in zip(*parts, strict=True)]
        return cls(samples, inputs, outputs)

    def check(self, artefact: str, graph: str, run: Runner, precision: str) -> list[OutputParity]:
        """Compare an artefact of `graph` in `precision` (a key of LIMITS) with the model, at batch 1 and batch N."""
        arrays = list(self.inputs[graph].values())
        alone = [run(*one_of(arrays, place)) for place in range(len(arrays[0]))]
        together = run(*arrays)
        return [
            compare(artefact, precision, output, np.concatenate([got[place] for got in alone]), together[place],
                    self.outputs[graph][place], self.samples.moments)
            for place, output in enumerate(OUTPUTS[graph])
        ]  # fmt: skip

    def worst_input(self, graph: str, result: OutputParity) -> Inputs:
        """Return the inputs (1, ...) for which an output is worst."""
        names = result.worst_samples
        place = self.samples.moments.index(names[0]) if names and names[0] != NOISE else len(self.samples)
        named = self.inputs[graph]
        return dict(zip(named, one_of(named.values(), place), strict=True))


def compare(
    artefact: str, precision: str, output: str, got: Array, together: Array, want: Array, names: Sequence[str]
) -> OutputParity:
    """Compare an output of single inputs, and of one batch of them, with the model's (N, ...).

    names: of the first samples; those after them are noise.

    Raises:
        ExportError: the shapes differ.
    """
    limits = LIMITS[precision]
    if got.shape != want.shape:
        raise ExportError(
            f"{artefact} gives {output} as {got.shape}, the model as {want.shape}: report this configuration"
        )
    error = np.abs(got.astype(np.float64) - want)
    scale = float(np.abs(want).max()) + 1e-12
    batch_error = float(np.abs(together - got).max()) / scale
    rows_got, rows_want = (value.reshape(len(value), -1).astype(np.float64) for value in (got, want))
    cosines = _cosines(rows_got, rows_want)
    if output == "log_mel":
        centred, worst = float(cosines.min()), []
        passed = error.max() <= MAX_LOG_MEL_ERROR and error.mean() <= MEAN_LOG_MEL_ERROR
    else:
        number = len(names)
        centred = centred_cosine(rows_got[:number], rows_want[:number])
        worst = [
            names[place] if place < number else NOISE
            for place in np.argsort(np.nan_to_num(cosines, nan=-1.0))[:NUM_NAMED]
        ]
        wanted = limits.centred_cosine_of_patches if output == "patches" else limits.centred_cosine
        is_flat = _spread(rows_want[:number]) < MIN_SPREAD
        passed = error.max() / scale <= limits.relative_error and cosines.min() >= limits.cosine
        passed = passed and (centred >= wanted or is_flat)
    passed = bool(passed and batch_error <= limits.batch_error and np.isfinite(got).all())
    return OutputParity(
        artefact,
        precision,
        output,
        float(error.max()),
        float(error.mean()),
        float(error.max()) / scale,
        float(error.mean()) / scale,
        float(cosines.min()),
        centred,
        batch_error,
        worst,
        passed,
    )


def centred_cosine(got: Array, want: Array) -> float:
    """Cosine over all samples (N, D) together, after the mean over the samples is removed from both."""
    first, second = got - got.mean(axis=0), want - want.mean(axis=0)
    return float((first * second).sum() / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-30))


def complaint(failed: Sequence[OutputParity], culprit: str) -> str:
    """Return the message for artefacts that depart; `culprit` tells where the departure begins."""
    worst = worst_of(failed)
    return (
        f"the exported {worst.artefact} does not compute what the model computes: output {worst.output} has a largest "
        f"error of {worst.max_abs_error:.3g}, a cosine of {worst.cosine:.6f}, centred {worst.centred_cosine:.4f}, and "
        f"differs by {worst.batch_error:.3g} of its range between batch sizes"
        + (f", worst for {', '.join(worst.worst_samples)}" if worst.worst_samples else "")
        + f"; {culprit}; no bundle was written"
    )


def describe(results: Sequence[OutputParity], samples: Samples, not_run: Sequence[str]) -> dict[str, Any]:
    """Return the content of parity.json."""
    return {
        "reference": "the PyTorch model and torchaudio's Kaldi filter bank, float32 on the CPU",
        "inputs": f"{samples.source}, and noise",
        "limits": {name: asdict(limits) for name, limits in LIMITS.items()},
        "built_and_not_run": list(not_run),
        "outputs": [asdict(result) for result in results],
    }


def worst_of(failed: Sequence[OutputParity]) -> OutputParity:
    """Return the output that departs most."""
    return max(failed, key=_departure)


def differs_only_by_batch(result: OutputParity) -> bool:
    """Whether single inputs agree and only batches depart."""
    return result.batch_error > LIMITS[result.precision].batch_error and result.relative_error < result.batch_error


def _departure(result: OutputParity) -> float:
    figures = np.array([result.relative_error, 1 - result.cosine, 1 - result.centred_cosine, result.batch_error])
    return float(np.nan_to_num(figures, nan=np.inf).max())


def _cosines(got: Array, want: Array) -> Array:
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    found: Array = (got * want).sum(axis=1) / np.maximum(norms, 1e-30)
    return found


def _spread(rows: Array) -> float:
    """Root mean square of the samples' differences from their mean, relative to the largest sample."""
    apart = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
    return float(np.sqrt((apart**2).mean()) / max(np.linalg.norm(rows, axis=1).max(), 1e-30))
