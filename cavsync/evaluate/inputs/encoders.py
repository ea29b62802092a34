"""Encoders of audio and frames, opened by path: of a run, one of its steps, a published .pth, or a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from cavsync.deploy import Bundle
from cavsync.errors import BundleError, ConfigError
from cavsync.evaluate.results.result import ModelId
from cavsync.manifest import MANIFEST_NAME, sha256_file
from cavsync.run import Run

if TYPE_CHECKING:
    import torch

    from cavsync.model import CAVMAESync
    from cavsync.model.classifier import CAVMAEFT

FloatArray = NDArray[np.float32]


class Embedded(Protocol):
    """`pooled` (B, D) of unit length, `patches` (B, N, D) after the norm, row-major (audio: frequency-major)."""

    @property
    def pooled(self) -> FloatArray: ...

    @property
    def patches(self) -> FloatArray: ...


class Vectors(NamedTuple):
    """Both computed at once, by a torch model."""

    pooled: FloatArray
    patches: FloatArray


@dataclass(frozen=True)
class VectorsOnRequest:
    """Each computed when first used: an engine runs its whole graph for either."""

    pool: Callable[[], FloatArray]
    patch: Callable[[], FloatArray]

    @cached_property
    def pooled(self) -> FloatArray:
        """(B, D)."""
        return self.pool()

    @cached_property
    def patches(self) -> FloatArray:
        """(B, N, D)."""
        return self.patch()


@dataclass(frozen=True)
class Encoder:
    """Embeds raw inputs, which it normalises itself.

    `embed_audio`: raw log-mel (B, segment_frames, 128) float32; `embed_frames`: RGB (B, num_frames, S, S, 3) uint8.
    `audio_grid` (frequency, time) and `visual_grid` (rows, columns) are the shapes of the patches;
    `joint_blocks_chained`: see `has_chained_blocks`.
    """

    id: ModelId
    segment_frames: int
    img_size: int
    num_frames: int
    frame_step_seconds: float
    audio_grid: tuple[int, int]
    visual_grid: tuple[int, int]
    joint_blocks_chained: bool
    embed_audio: Callable[[FloatArray], Embedded] = field(repr=False)
    embed_frames: Callable[[NDArray[np.uint8]], Embedded] = field(repr=False)
    device: str = "cpu"


def open_encoder(path: Path | str, *, device: str = "cpu", **overrides: Any) -> Encoder:
    """Open a bundle, a RUN folder, RUN/checkpoints/step-N, or a `.pth` of the authors.

    overrides: model options that do not follow from the shapes in a `.pth`, such as num_heads.
    Raises BundleError, CheckpointError or ConfigError for what is none of these, is damaged, or does not fit.
    """
    path = Path(path)
    if (path / MANIFEST_NAME).is_file():
        if overrides or device != "cpu":
            raise ConfigError(f"'{path}' is a bundle, which has no model options and runs on the CPU: leave them out.")
        return encoder_of_bundle(Bundle.open(path))
    return encoder_of_model(*open_model(path, **overrides), device=device)


def open_model(path: Path | str, **overrides: Any) -> tuple[ModelId, CAVMAESync | CAVMAEFT]:
    """Open the torch model of a RUN folder, RUN/checkpoints/step-N or a `.pth`, on the CPU, in evaluation mode.

    A run's average of the weights is used where it keeps one. Raises CheckpointError or ConfigError.
    """
    from cavsync.model.load import open_any

    origin, model = open_any(path, **overrides)
    if isinstance(origin, Run):
        hashes = [sha256_file(file) for file in origin.checkpoint.weight_files]
        sha256 = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        name = f"{origin.name}/{origin.checkpoint.path.name}"
        details: dict[str, JsonValue] = {"step": origin.step, "averaged": len(hashes) > 1, **overrides}
        return ModelId(name=name, kind="run", sha256=sha256, details=details), model.eval()
    details = {"fingerprint": origin.fingerprint, "overrides": dict(overrides)}
    return ModelId(name=origin.path.name, kind="upstream", sha256=origin.sha256, details=details), model.eval()


def encoder_of_model(id: ModelId, model: CAVMAESync | CAVMAEFT, *, device: str = "cpu") -> Encoder:
    """Make the encoders of a torch model, moved to `device`. ConfigError for a device that does not exist."""
    import torch

    from cavsync.evaluate.inputs.on_device import on_device

    config, model = model.config, on_device(model, device)
    return Encoder(
        id=id,
        segment_frames=config.audio_length,
        img_size=config.img_size,
        num_frames=config.num_frames,
        frame_step_seconds=config.frame_step_seconds,
        audio_grid=config.audio_grid,
        visual_grid=config.visual_grid,
        joint_blocks_chained=has_chained_blocks(config.model_dump()),
        embed_audio=partial(_embed_audio, model, torch.device(device)),
        embed_frames=partial(_embed_frames, model, torch.device(device)),
        device=device,
    )


def has_chained_blocks(model: Mapping[str, Any]) -> bool:
    """Return whether an embedding passes all joint blocks, one after another, rather than the last one alone.

    model: options of a model's configuration. Of a single block both are true, so it counts as chained.
    """
    depth, specific = model.get("depth"), model.get("modality_specific_depth")
    has_one = isinstance(depth, int) and isinstance(specific, int) and depth - specific == 1
    return has_one or bool(model.get("chain_joint_blocks"))


def bundle_id(bundle: Bundle) -> ModelId:
    """Return the identity of a bundle, by its manifest, which holds the hash of every file."""
    return ModelId(
        name=bundle.path.resolve().name,
        kind="bundle",
        sha256=sha256_file(bundle.path / MANIFEST_NAME),
        details={"name": bundle.manifest.name, "precision": bundle.manifest.precision},
    )


def encoder_of_bundle(bundle: Bundle) -> Encoder:
    """Make the encoders of an opened bundle. BundleError where it does not declare its patch size."""
    manifest = bundle.manifest
    audio, visual, patch = manifest.audio, manifest.visual, manifest.model.get("patch_size")
    if type(patch) is not int or patch < 1:
        raise BundleError(f"{bundle.path} declares no patch_size of its model: export it with this version")
    side = visual.img_size // patch
    return Encoder(
        id=bundle_id(bundle),
        segment_frames=audio.segment_frames,
        img_size=visual.img_size,
        num_frames=visual.num_frames,
        frame_step_seconds=visual.frame_step_seconds,
        audio_grid=(manifest.frontend.num_mel_bins // patch, audio.segment_frames // patch),
        visual_grid=(side, side),
        joint_blocks_chained=has_chained_blocks(manifest.model),
        embed_audio=lambda segments: VectorsOnRequest(
            lambda: bundle.embed_audio(segments), lambda: bundle.audio.run(segments, "patches")
        ),
        embed_frames=lambda tubelets: VectorsOnRequest(
            lambda: bundle.embed_frames(tubelets), lambda: bundle.frame_patches(tubelets)
        ),
    )


def _embed_audio(model: CAVMAESync | CAVMAEFT, device: torch.device, segments: FloatArray) -> Vectors:
    import torch

    from cavsync.data.logmel import normalise

    with torch.inference_mode():
        return _vectors(*model.encode_audio(normalise(torch.from_numpy(segments).to(device))))


def _embed_frames(model: CAVMAESync | CAVMAEFT, device: torch.device, tubelets: NDArray[np.uint8]) -> Vectors:
    import torch

    from cavsync.data.batches import normalised_frames

    with torch.inference_mode():
        frames = torch.from_numpy(tubelets).to(device).permute(0, 1, 4, 2, 3)
        return _vectors(*model.encode_frames(normalised_frames(frames)))


def _vectors(pooled: torch.Tensor, patches: torch.Tensor) -> Vectors:
    from torch.nn import functional as F

    return Vectors(F.normalize(pooled, dim=-1).cpu().numpy(), patches.cpu().numpy())
