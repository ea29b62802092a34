"""The face graphs of an opened bundle: their interfaces checked, ready to run, shared by all streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.runtime.engines import Engine, open_engine
from cavsync.errors import BundleError
from cavsync.manifest import FaceSpec, Manifest, TensorSpec
from cavsync.manifest.specs import MAX_EMBEDDING_WIDTH
from cavsync.media.face import NUM_POINTS
from cavsync.media.mouth import NUM_FEATURES


@dataclass(frozen=True)
class FaceEngines:
    """The face graphs of a bundle, all computed by ONNX Runtime on the CPU. They keep no state of a stream."""

    path: Path
    spec: FaceSpec
    short_range: Engine
    full_range: Engine
    mesh: Engine
    frame: Engine
    visual: Engine
    audio: Engine
    encoded_dim: int
    embedding_dim: int

    @classmethod
    def open(
        cls, path: Path, manifest: Manifest, *, threads: int | None, cores: Sequence[int] | None
    ) -> FaceEngines | None:
        """Check and open the face graphs of the bundle folder `path`; None where it has none.

        Raises:
            BundleError: a graph is unusable or has other inputs or outputs than the face path needs.
        """
        spec = manifest.faces
        if spec is None:
            return None
        encoded_dim, embedding_dim = _check(path, manifest, spec)

        def graph(name: str) -> Engine:
            return open_engine(path, manifest, spec.graphs[name], None, providers=None, threads=threads, cores=cores)

        return cls(
            path=path,
            spec=spec,
            short_range=graph("face_detector_short_range"),
            full_range=graph("face_detector_full_range"),
            mesh=graph("face_mesh"),
            frame=graph("face_frame_encoder"),
            visual=graph("face_visual_encoder"),
            audio=graph("face_audio_encoder"),
            encoded_dim=encoded_dim,
            embedding_dim=embedding_dim,
        )

    def with_engines(self, change: Callable[[Engine], Engine]) -> FaceEngines:
        """Return the same with each graph's engine replaced by what `change` makes of it."""
        return replace(
            self,
            short_range=change(self.short_range),
            full_range=change(self.full_range),
            mesh=change(self.mesh),
            frame=change(self.frame),
            visual=change(self.visual),
            audio=change(self.audio),
        )

    def encode_frames(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features of single frames (B, NUM_FEATURES) -> (B, encoded_dim)."""
        return self._checked(self.frame.run(features, "encoded"), (len(features), self.encoded_dim))

    def embed_frames(self, encoded: NDArray[np.float32]) -> NDArray[np.float32]:
        """Consecutive encoded frames (n, encoded_dim) -> unit embeddings (n - num_frames + 1, D)."""
        moments = len(encoded) - self.spec.num_frames + 1
        found = self._checked(self.visual.run(encoded[None], "embedding"), (1, moments, self.embedding_dim))
        return found.reshape(moments, self.embedding_dim)

    def embed_audio(self, segments: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw log-mel (B, segment_frames + k * step_frames, bins) -> unit embeddings (B, k + 1, D)."""
        moments = (segments.shape[1] - self.spec.segment_frames) // self.spec.step_frames + 1
        return self._checked(self.audio.run(segments, "embedding"), (len(segments), moments, self.embedding_dim))

    def _checked(self, values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        if values.shape != shape:
            raise BundleError(
                f"a face graph of {self.path} gives values of shape {values.shape}, {shape} was declared: "
                "export the bundle again"
            )
        return values


def _check(path: Path, manifest: Manifest, spec: FaceSpec) -> tuple[int, int]:
    """Check names, shapes and types; return the widths of encoded frames and of embeddings."""
    encoded_dim = _width(path, spec, "face_frame_encoder")
    embedding_dim = _width(path, spec, "face_visual_encoder")
    embedding = ("embedding", ["moments", embedding_dim], "float32")
    # Anchors of the detectors: see the grids in `cavsync.deploy.faces.detector`.
    interfaces: dict[str, tuple[tuple[str, list[Any], str], tuple[str, list[Any], str]]] = {
        "face_detector_short_range": (("image", [128, 128, 3], "uint8"), ("faces", [896, 17], "float32")),
        "face_detector_full_range": (("image", [192, 192, 3], "uint8"), ("faces", [2304, 17], "float32")),
        "face_mesh": (("image", [192, 192, 3], "uint8"), ("points", [3 * NUM_POINTS + 1], "float32")),
        "face_frame_encoder": (("features", [NUM_FEATURES], "float32"), ("encoded", [encoded_dim], "float32")),
        "face_visual_encoder": (
            ("encoded", ["frames", encoded_dim], "float32"),
            embedding,
        ),
        "face_audio_encoder": (("log_mel", ["frames", manifest.frontend.num_mel_bins], "float32"), embedding),
    }
    for graph, (wanted_input, wanted_output) in interfaces.items():
        found = spec.graphs[graph]
        for side, tensors, wanted in (
            ("input", found.inputs, wanted_input),
            ("output", found.outputs, wanted_output),
        ):
            if [_interface(tensor) for tensor in tensors] != [wanted]:
                raise BundleError(
                    f"{path} declares {graph} without the one {side} {wanted[0]} of type {wanted[2]} and shape "
                    f"(batch, {', '.join(map(str, wanted[1]))}): export the bundle again"
                )
    return encoded_dim, embedding_dim


def _interface(tensor: TensorSpec) -> tuple[str, list[int | str], str]:
    return tensor.name, tensor.shape[1:], tensor.dtype


def _width(path: Path, spec: FaceSpec, graph: str) -> int:
    outputs = spec.graphs[graph].outputs
    width = outputs[0].shape[-1] if outputs and outputs[0].shape else None
    if not isinstance(width, int) or width > MAX_EMBEDDING_WIDTH:
        raise BundleError(f"{path} declares {graph} without an output of known width: export the bundle again")
    return width
