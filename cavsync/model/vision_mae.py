"""Starting both encoders from a vision masked autoencoder (ViT-B of arXiv 2111.06377), as CAV-MAE does."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from cavsync.errors import CheckpointError
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.fingerprint import file_sha256
from cavsync.model.state import NUM_NAMED, read_state

NORM_SETS = ("", "_a", "_v")
RGB = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VisionMaeReport:
    """Names in the file that were used and that were not, and the model's names that kept their initial values."""

    sha256: str
    used: tuple[str, ...]
    left_aside: tuple[str, ...]
    untouched: tuple[str, ...]


def initialise_from_vision_mae(model: AudioVisualEncoder, path: str | Path) -> VisionMaeReport:
    """Copy a vision-MAE checkpoint (with or without decoder) into both modalities of `model`, in place.

    The first `modality_specific_depth` blocks go to both modalities, the next ones to the joint blocks, every norm to
    all three sets. Audio patch kernels are the sum over the colours, its pixel head their mean; a tubelet's frames
    share the kernels. The decoder is copied where both have one of equal width. Position tables stay the model's own.
    Raises CheckpointError where the file is unreadable or of another size.
    """
    path = Path(path)
    state = read_state(path)
    if "patch_embed.proj.weight" not in state or "blocks.0.norm1.weight" not in state:
        raise CheckpointError(
            f"'{path}' is not a vision-MAE checkpoint: it lacks patch_embed or blocks, use another file."
        )
    expected = model.state_dict()
    taken = _translate(state, model.config)
    if not _same_decoder(state, expected):
        taken = {ours: value for ours, value in taken.items() if not _is_decoder(ours)}
    _require_fit(path, {name: value for name, (_, value) in taken.items()}, expected)
    with torch.no_grad():
        for name, (_, value) in taken.items():
            expected[name].copy_(value)
    used = {theirs for theirs, _ in taken.values()}
    report = VisionMaeReport(
        sha256=file_sha256(path),
        used=tuple(name for name in state if name in used),
        left_aside=tuple(name for name in state if name not in used),
        untouched=tuple(name for name in expected if name not in taken),
    )
    logger.info("Took %d of %d tensors from %s, sha256 %s", len(report.used), len(state), path, report.sha256)
    return report


def _translate(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, tuple[str, Tensor]]:
    """The model's names -> (name in the file, value)."""
    taken = {}
    for theirs, value in state.items():
        for ours, ours_value in _patch_embedding(theirs, value, config) or _pixel_head(theirs, value, config):
            taken[ours] = theirs, ours_value
        for ours in _homes(theirs, config):
            taken[ours] = theirs, value
    return taken


def _homes(name: str, config: ModelConfig) -> list[str]:
    """The model's tensors that are copies of the tensor `name`."""
    if name == "cls_token":
        return ["cls_token_a", "cls_token_v"] if config.cls_token else []
    if name.startswith("norm."):
        return [name.replace("norm", f"norm{kind}", 1) for kind in NORM_SETS]
    if name.startswith("decoder_blocks."):
        return _norm_sets(name)
    if name == "mask_token" or name.startswith(("decoder_embed.", "decoder_norm.")):
        return [name]
    if not name.startswith("blocks."):
        return []
    _, index, rest = name.split(".", 2)
    block, specific = int(index), config.modality_specific_depth
    if block < specific:
        stacks = [f"blocks_a.{block}", f"blocks_v.{block}"]
    else:
        stacks = [f"blocks_u.{block - specific}"] if block < config.depth else []
    return [home for stack in stacks for home in _norm_sets(f"{stack}.{rest}")]


def _norm_sets(name: str) -> list[str]:
    """A block's tensor, or the three norms that start from one."""
    for norm in (".norm1.", ".norm2."):
        if norm in name:
            return [name.replace(norm, f"{norm[:-1]}{kind}.") for kind in NORM_SETS]
    return [name]


def _patch_embedding(name: str, value: Tensor, config: ModelConfig) -> list[tuple[str, Tensor]]:
    if name == "patch_embed.proj.bias":
        return [("patch_embed_a.proj.bias", value), ("patch_embed_v.proj.bias", value)]
    if name != "patch_embed.proj.weight":
        return []
    frames = value.repeat(1, config.num_frames, 1, 1) / config.num_frames
    return [("patch_embed_a.proj.weight", value.sum(dim=1, keepdim=True)), ("patch_embed_v.proj.weight", frames)]


def _pixel_head(name: str, value: Tensor, config: ModelConfig) -> list[tuple[str, Tensor]]:
    """Rows of the head are pixels with the colour fastest; a tubelet's pixel holds the colours of each frame."""
    if name not in ("decoder_pred.weight", "decoder_pred.bias"):
        return []
    kind = name.rsplit(".", 1)[1]
    colours = value.reshape(-1, RGB, *value.shape[1:])
    frames = torch.cat([colours] * config.num_frames, dim=1).flatten(0, 1)
    return [(f"decoder_pred_a.{kind}", colours.mean(dim=1)), (f"decoder_pred_v.{kind}", frames)]


def _is_decoder(name: str) -> bool:
    return name == "mask_token" or name.startswith("decoder_")


def _same_decoder(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Whether both have a decoder of equal width and depth: copying it is optional, a different one is not an error."""
    theirs = {
        name: value.shape for name, value in state.items() if name.startswith(("decoder_embed.", "decoder_blocks."))
    }
    ours = {
        name: value.shape
        for name, value in expected.items()
        if name.startswith(("decoder_embed.", "decoder_blocks.")) and "_a." not in name and "_v." not in name
    }
    return bool(theirs) and theirs == ours


def _require_fit(path: Path, taken: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing = [name for name in expected if name.startswith(("patch_embed_", "blocks_", "norm")) and name not in taken]
    reshaped = [name for name, value in taken.items() if name not in expected or expected[name].shape != value.shape]
    faults = missing + reshaped
    if faults:
        raise CheckpointError(
            f"The vision-MAE checkpoint '{path}' does not fit the model at {', '.join(faults[:NUM_NAMED])}: expected "
            "equal embed_dim, patch_size and mlp_ratio and at least as many blocks, use another file."
        )
