"""An opened bundle: the manifest, every hash checked, and the three graphs ready to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.bundle_files import verify_files
from cavsync.deploy.runtime.cores import threads_on
from cavsync.deploy.runtime.engines import ONNX_RUNTIME, Engine, choose_engines, open_engine
from cavsync.deploy.verdict.curve import FEATURE_NAMES
from cavsync.errors import BundleError
from cavsync.manifest import ENCODERS, Calibration, Manifest, read_manifest
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ

HOP_UNIT_MS = 1000 * FRAME_SHIFT_SAMPLES / SAMPLE_RATE_HZ
# What one input of an encoder, one window and one term of the calibration may come to; models are far below.
MAX_FRAME_BYTES = 1 << 26
MAX_AUDIO_VALUES = 1 << 24
MAX_WINDOW_INSTANTS = 100_000
MAX_WEIGHT = 1e9
MAX_OFFSET_MS = 60_000
# The input and the output of each graph that the scorer relies on.
TENSORS = {
    "audio_frontend": ("waveform", "log_mel"),
    "audio_encoder": ("log_mel", "embedding"),
    "visual_encoder": ("frames", "embedding"),
}


def _are_sensible(numbers: Sequence[float]) -> bool:
    return all(abs(number) <= MAX_WEIGHT for number in numbers)


def is_whole_hop(hop_ms: float) -> bool:
    """Whether a step of the lags is a whole number of log-mel frames."""
    frames = hop_ms / HOP_UNIT_MS
    return frames >= 1 and abs(frames - round(frames)) < 1e-6


GRID_RULES: tuple[tuple[str, Callable[[Manifest], bool]], ...] = (
    ("frontend.sample_rate_hz", lambda m: m.frontend.sample_rate_hz == SAMPLE_RATE_HZ),
    ("frontend.frame_length_samples", lambda m: m.frontend.frame_length_samples == FRAME_LENGTH_SAMPLES),
    ("frontend.frame_shift_samples", lambda m: m.frontend.frame_shift_samples == FRAME_SHIFT_SAMPLES),
    ("frontend.num_mel_bins", lambda m: m.frontend.num_mel_bins in range(1, 4097)),
    ("audio.segment_frames", lambda m: m.audio.segment_frames in range(1, 6001)),
    ("audio.segment_frames", lambda m: m.audio.segment_frames * m.frontend.num_mel_bins <= MAX_AUDIO_VALUES),
    ("visual.img_size", lambda m: m.visual.img_size in range(1, 4097)),
    ("visual.num_frames", lambda m: m.visual.num_frames in range(1, 1025)),
    ("visual.num_frames", lambda m: 3 * m.visual.num_frames * m.visual.img_size**2 <= MAX_FRAME_BYTES),
    ("visual.frame_step_seconds", lambda m: 0 <= m.visual.frame_step_seconds <= 10),
    ("sync.frame_rate_hz", lambda m: 0 < m.sync.frame_rate_hz <= 1000),
    ("sync.hop_ms", lambda m: is_whole_hop(m.sync.hop_ms)),
    ("sync.max_offset_ms", lambda m: 2 * m.sync.hop_ms <= m.sync.max_offset_ms <= MAX_OFFSET_MS),
    ("sync.window_seconds", lambda m: 0 < m.sync.window_seconds <= 3600),
    ("sync.window_seconds", lambda m: m.sync.window_seconds * m.sync.frame_rate_hz <= MAX_WINDOW_INSTANTS),
    ("sync.decision_step_seconds", lambda m: 0.001 <= m.sync.decision_step_seconds <= 3600),
)
CALIBRATION_RULES: tuple[tuple[str, Callable[[Calibration], bool]], ...] = (
    ("calibration.features", lambda c: set(c.features) <= set(FEATURE_NAMES)),
    ("calibration.weights", lambda c: len(c.weights) == len(c.features) and _are_sensible(c.weights)),
    ("calibration.bias", lambda c: _are_sensible([c.bias])),
    ("calibration.threshold", lambda c: 0 <= c.threshold <= 1),
    ("calibration.resolution_ms", lambda c: 0 <= c.resolution_ms <= MAX_OFFSET_MS),
    ("calibration.tolerance_ms", lambda c: 0 <= c.tolerance_ms <= MAX_OFFSET_MS),
    ("calibration.zero_point_ms", lambda c: abs(c.zero_point_ms) <= MAX_OFFSET_MS),
)


@dataclass(frozen=True)
class Bundle:
    """A bundle that can score. It holds no state of a stream: many scorers may share it, from many threads."""

    path: Path
    manifest: Manifest
    frontend: Engine
    audio: Engine
    visual: Engine
    embedding_dim: int

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        engine: str = ONNX_RUNTIME,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        cores: Sequence[int] | None = None,
    ) -> Bundle:
        """Check the bundle folder `path` and open its graphs.

        Args:
            path: folder that `cavsync export` wrote.
            engine: what computes the encoders, see `choose_engines`; never another one instead.
            providers: ONNX Runtime execution providers in order of preference; None means the CPU.
            threads: threads inside one operator; None lets ONNX Runtime choose.
            cores: keep the computing on these cores, one thread each, beside whatever runs on the others (Linux).

        Raises:
            BundleError: missing, changed or inconsistent bundle.
            ConfigError: an engine, a provider or cores that cannot be used here.
        """
        threads = threads_on(cores, threads)
        path = Path(path)
        manifest = read_manifest(path)
        verify_files(path, manifest)
        _check_numbers(path, manifest)
        embedding_dim = _check_graphs(path, manifest)

        chosen = choose_engines(path, manifest, engine)

        def graph(name: str) -> Engine:
            spec = manifest.graphs[name]
            return open_engine(
                path, manifest, spec, chosen.get(name), providers=providers, threads=threads, cores=cores
            )

        return cls(
            path=path,
            manifest=manifest,
            frontend=graph("audio_frontend"),
            audio=graph("audio_encoder"),
            visual=graph("visual_encoder"),
            embedding_dim=embedding_dim,
        )

    def log_mel(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """16 kHz samples (n,) -> raw log-mel (frames, bins), frames = (n - 400) // 160 + 1."""
        frames: NDArray[np.float32] = self.frontend.run(waveform[None], "log_mel")[0]
        return frames

    def embed_audio(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw log-mel (B, segment_frames, bins) -> unit embeddings (B, D)."""
        return self._checked(self.audio.run(segments, "embedding"), len(segments))

    def embed_frames(self, tubelets: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB (B, T, H, W, 3) -> unit embeddings (B, D)."""
        return self._checked(self.visual.run(tubelets, "embedding"), len(tubelets))

    def _checked(self, embeddings: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if embeddings.shape != (count, self.embedding_dim):
            raise BundleError(
                f"{self.path} gives embeddings of shape {embeddings.shape}, ({count}, {self.embedding_dim}) was "
                "declared: export the bundle again"
            )
        return embeddings


def _check_numbers(path: Path, manifest: Manifest) -> None:
    """Refuse numbers that no scorer can work with: what is valid JSON need not be a valid grid."""
    unusable = [name for name, holds in GRID_RULES if not holds(manifest)]
    if manifest.calibration is not None:
        unusable += [name for name, holds in CALIBRATION_RULES if not holds(manifest.calibration)]
    if unusable:
        section, entry = unusable[0].split(".")
        value = getattr(getattr(manifest, section), entry)
        raise BundleError(
            f"{path} declares {unusable[0]} = {value!r:.80}, which this version cannot use: "
            "export the bundle again with this version"
        )


def _check_graphs(path: Path, manifest: Manifest) -> int:
    """Check the names that the scorer relies on and return the width of the embeddings."""
    for graph, (wanted_input, wanted_output) in TENSORS.items():
        spec = manifest.graphs[graph]
        outputs = [tensor.name for tensor in spec.outputs]
        if [tensor.name for tensor in spec.inputs] != [wanted_input] or outputs.count(wanted_output) != 1:
            raise BundleError(
                f"{path} declares {graph} without the input {wanted_input} or the output {wanted_output}: "
                "export the bundle again"
            )
    widths = [
        tensor.shape[-1] if tensor.shape else "none"
        for name in ENCODERS
        for tensor in manifest.graphs[name].outputs
        if tensor.name == "embedding"
    ]
    if not isinstance(widths[0], int) or widths[0] < 1 or widths[0] != widths[1]:
        raise BundleError(
            f"{path} declares audio embeddings of width {widths[0]!s:.40} and visual ones of width {widths[1]!s:.40}, "
            "they should be the same number: export the bundle again"
        )
    return widths[0]
