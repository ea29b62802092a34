"""An opened bundle: its files checked against the manifest, its graphs ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.audio_encoder import AudioEncoder
from cavsync.deploy.runtime.bundle_files import verify_files
from cavsync.deploy.runtime.cores import threads_on
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.deploy.runtime.engines import ONNX_RUNTIME, Engine, choose_engines, open_engine, run_all
from cavsync.deploy.runtime.face_engines import FaceEngines
from cavsync.deploy.runtime.tubelets import Tubelet, pair_features, stacked, tubelets_of
from cavsync.deploy.verdict.curve import FEATURE_NAMES
from cavsync.errors import BundleError
from cavsync.manifest import ENCODERS, FRAME_ENCODER, Manifest, read_manifest
from cavsync.manifest.specs import MAX_EMBEDDING_WIDTH
from cavsync.media.align import num_log_mel_frames
from cavsync.records import shown

# The input and the output of each graph that the scorer uses.
TENSORS = {
    "audio_frontend": ("waveform", "log_mel"),
    "audio_encoder": ("log_mel", "embedding"),
    "visual_encoder": ("frames", "embedding"),
}
EMBEDDING_AND_PATCHES = ("embedding", "patches")
TENSORS_OF_PAIRS = TENSORS | {"visual_encoder": ("features", "embedding"), FRAME_ENCODER: ("pairs", "features")}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. It keeps no state of a stream, so scorers in several threads may share it.

    `faces` is None if the bundle has no face path. `pairs`, if there is one, computes features of pairs of successive
    frames, and `visual` then takes the features of a tubelet's pairs instead of its frames.
    """

    path: Path
    manifest: Manifest
    frontend: Engine
    audio: Engine
    visual: Engine
    embedding_dim: int
    faces: FaceEngines | None = None
    pairs: Engine | None = None

    @classmethod
    def open(
        cls,
        path: Path | str | None = None,
        *,
        engine: str = ONNX_RUNTIME,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        cores: Sequence[int] | None = None,
    ) -> Bundle:
        """Check the bundle folder `path` and open its graphs.

        Args:
            path: folder that `cavsync export` wrote; None means the packaged bundle.
            engine: runtime of the encoders, see `choose_engines`; there is no fall-back to another.
            providers: ONNX Runtime execution providers in order of preference; None means the CPU.
            threads: threads inside one operator; None lets ONNX Runtime choose.
            cores: compute on these cores only, one thread each (Linux).

        Raises:
            BundleError: the bundle is missing, changed or inconsistent.
            ConfigError: the engine, provider or cores cannot be used on this machine.
        """
        threads = threads_on(cores, threads)
        path = default_bundle() if path is None else Path(path)
        manifest = read_manifest(path)
        verify_files(path, manifest)
        _check_features(path, manifest)
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
            faces=FaceEngines.open(path, manifest, threads=threads, cores=cores),
            pairs=None if manifest.frame_encoder is None else graph(FRAME_ENCODER),
        )

    @property
    def audio_encoder(self) -> AudioEncoder:
        """The audio encoder of the whole picture's path."""
        segment_frames, bins = self.manifest.audio.segment_frames, self.manifest.frontend.num_mel_bins
        return AudioEncoder(segment_frames, bins, self.embedding_dim, self.log_mel, self.embed_audio)

    def face_audio_encoder(self, faces: FaceEngines) -> AudioEncoder:
        """The audio encoder of the face path."""
        segment_frames, bins = faces.spec.segment_frames, self.manifest.frontend.num_mel_bins
        return AudioEncoder(
            segment_frames, bins, faces.embedding_dim, self.log_mel, faces.embed_audio, faces.spec.step_frames
        )

    def log_mel(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """16 kHz samples (n,) -> raw log-mel (frames, bins), frames = (n - 400) // 160 + 1."""
        frames: NDArray[np.float32] = self.frontend.run(waveform[None], "log_mel")[0]
        if len(frames) != num_log_mel_frames(len(waveform)):
            raise BundleError(
                f"{self.path} gives {len(frames)} log-mel frames for {len(waveform)} samples, "
                f"{num_log_mel_frames(len(waveform))} were expected (no padding): export the bundle again"
            )
        return frames

    def embed_audio(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw log-mel (B, segment_frames, bins) -> unit embeddings (B, D)."""
        return self._checked(self.audio.run(segments, "embedding"), len(segments))

    def embed_frames(self, tubelets: NDArray[np.uint8] | Sequence[Tubelet]) -> NDArray[np.float32]:
        """RGB (B, T, H, W, 3), or tubelets of one stream -> unit embeddings (B, D).

        With `pairs`, each pair of a stream's frames is computed once.
        """
        return self._checked(self.visual.run(self._visual_inputs(tubelets), "embedding"), len(tubelets))

    def frame_patches(self, tubelets: NDArray[np.uint8] | Sequence[Tubelet]) -> NDArray[np.float32]:
        """RGB (B, T, H, W, 3), or tubelets of one stream -> patch tokens (B, N, D)."""
        return self.visual.run(self._visual_inputs(tubelets), "patches")

    def embed_frames_with_patches(self, tubelets: Sequence[Tubelet]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Tubelets of one stream -> unit embeddings (B, D) and patch tokens (B, N, D), in one run of the encoder."""
        embeddings, patches = run_all(self.visual, self._visual_inputs(tubelets), EMBEDDING_AND_PATCHES)
        return self._checked(embeddings, len(tubelets)), patches

    def embed_audio_with_patches(
        self, segments: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Raw log-mel (B, segment_frames, bins) -> unit embeddings (B, D) and patch tokens (B, M, D)."""
        embeddings, patches = run_all(self.audio, segments, EMBEDDING_AND_PATCHES)
        return self._checked(embeddings, len(segments)), patches

    def _visual_inputs(self, tubelets: NDArray[np.uint8] | Sequence[Tubelet]) -> NDArray[Any]:
        if self.pairs is None:
            return tubelets if isinstance(tubelets, np.ndarray) else stacked(tubelets)
        found = tubelets_of(tubelets) if isinstance(tubelets, np.ndarray) else tubelets
        return pair_features(self.pairs, found)

    def _checked(self, embeddings: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if embeddings.shape != (count, self.embedding_dim):
            raise BundleError(
                f"{self.path} gives embeddings of shape {embeddings.shape}, ({count}, {self.embedding_dim}) was "
                "declared: export the bundle again"
            )
        return embeddings


def _check_features(path: Path, manifest: Manifest) -> None:
    calibrations = [manifest.calibration, manifest.file_calibration]
    if manifest.faces is not None:
        calibrations += [manifest.faces.calibration, manifest.faces.file_calibration]
    named = {name for calibration in calibrations if calibration is not None for name in calibration.features}
    unknown = sorted(named - set(FEATURE_NAMES))
    if unknown:
        raise BundleError(
            f"{path} weighs calibration.features {shown(unknown)}, which this version cannot compute: "
            "export the bundle again with this version"
        )


def _check_graphs(path: Path, manifest: Manifest) -> int:
    """Check the tensor names that the scorer uses; return the width of the embeddings."""
    tensors = TENSORS if manifest.frame_encoder is None else TENSORS_OF_PAIRS
    for graph, (wanted_input, wanted_output) in tensors.items():
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
    if not isinstance(widths[0], int) or widths[0] > MAX_EMBEDDING_WIDTH or widths[0] != widths[1]:
        raise BundleError(
            f"{path} declares audio embeddings of width {widths[0]!s:.40} and visual ones of width {widths[1]!s:.40}, "
            "they should be the same number: export the bundle again"
        )
    _check_shapes(path, manifest, widths[0])
    _check_model(path, manifest)
    return widths[0]


def _check_shapes(path: Path, manifest: Manifest, width: int) -> None:
    """Check that the graphs take and give what the rest of the manifest says, apart from the number of items."""
    audio, visual, bins = manifest.audio, manifest.visual, manifest.frontend.num_mel_bins
    size = visual.img_size
    # None stands for a size that differs from call to call.
    wanted: list[tuple[str, str, list[int | str | None]]] = [
        ("audio_frontend", "float32", [None]),
        ("audio_frontend", "", [None, bins]),
        ("audio_encoder", "float32", [audio.segment_frames, bins]),
        ("audio_encoder", "", [width]),
        ("visual_encoder", "", [width]),
    ]
    tensors = TENSORS
    if manifest.frame_encoder is None:
        wanted.append(("visual_encoder", "uint8", [visual.num_frames, size, size, 3]))
    else:
        tensors, features = TENSORS_OF_PAIRS, [*manifest.frame_encoder.outputs[0].shape[1:]]
        wanted.append((FRAME_ENCODER, "uint8", [2, size, size, 3]))
        wanted.append(("visual_encoder", "float32", [visual.num_frames - 1, *features]))
    for graph, dtype, shape in wanted:
        spec, names = manifest.graphs[graph], tensors[graph]
        (tensor,) = (one for one in (spec.inputs if dtype else spec.outputs) if one.name in names)
        sizes = [None if want is None else have for want, have in zip(shape, tensor.shape[1:], strict=False)]
        if len(tensor.shape) != len(shape) + 1 or sizes != shape or dtype not in ("", tensor.dtype):
            raise BundleError(
                f"{path} declares {tensor.name} of {graph} as {tensor.dtype} {shown(tensor.shape)}, which its other "
                "entries contradict: export the bundle again"
            )


def _check_model(path: Path, manifest: Manifest) -> None:
    """Check that the sizes of the model are those of the graphs, where it states any."""
    audio, visual = manifest.audio, manifest.visual
    sizes = {
        "audio_length": audio.segment_frames,
        "img_size": visual.img_size,
        "num_frames": visual.num_frames,
    }
    for name, size in sizes.items():
        if manifest.model.get(name, size) != size:
            raise BundleError(
                f"{path} declares model.{name} = {shown(manifest.model[name])}, its graphs have {size}: "
                "export the bundle again"
            )
    patch = manifest.model.get("patch_size", 1)
    if patch > min(visual.img_size, audio.segment_frames):
        raise BundleError(f"{path} declares model.patch_size = {shown(patch)}, more than a frame has: export it again")
