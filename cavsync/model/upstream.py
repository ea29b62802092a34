"""Checkpoints of the public CAV-MAE and CAV-MAE Sync: read strictly, with the configuration taken from the shapes."""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cavsync.errors import CheckpointError
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.classifier import CAVMAEFT, Head
from cavsync.model.config import NUM_MEL_BINS, ModelConfig
from cavsync.model.fingerprint import architecture_fingerprint, file_sha256
from cavsync.model.state import load_strict, read_state

HEAD_WIDTH = 64
DECODER_NUM_HEADS = 16
LANDMARKS = ("patch_embed_a.proj.weight", "patch_embed_v.proj.weight", "pos_embed_a", "pos_embed_v", "norm_a.weight")
LAST_LAYERS: dict[Head, str] = {
    "linear": "mlp_head.1.weight",
    "concat_mlp": "mlp_head.7.weight",
    "self_attention_cls": "classifier_head.weight",
    "self_attention_cls_single": "classifier_head.weight",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UpstreamInfo:
    """Contents of a file of the authors; for classifiers label_dim is the number of labels and `head` the kind of head,
    both None for pretraining models."""

    path: Path
    sha256: str
    fingerprint: str
    config: ModelConfig
    label_dim: int | None
    head: Head | None
    num_tensors: int
    num_parameters: int

    def source(self) -> dict[str, str]:
        """The `source` entry of a run's config.json."""
        return {"sha256": self.sha256, "fingerprint": self.fingerprint, "file": self.path.name}


def load_upstream(path: str | Path, /, **overrides: Any) -> CAVMAESync | CAVMAEFT:
    """The model in a `.pth` file of the authors, on the CPU; the classifier for CAVMAEFT files.

    Sizes are read off the shapes. The rest has published defaults (head width 64, decoder_num_heads 16,
    norm_pix_loss False, ...) and is overridden by name, e.g. `load_upstream(path, num_heads=3, norm_pix_loss=True)`.
    Raises CheckpointError where the file is unreadable or a tensor is missing, left over or of another shape, and
    ConfigError for overrides that are not valid for a model.
    """
    return open_upstream(path, **overrides)[1]


def inspect_upstream(path: str | Path, /, **overrides: Any) -> UpstreamInfo:
    """Hash, fingerprint and configuration of a file, without building its model; errors as for `load_upstream`."""
    path = Path(path)
    return _describe(path, read_state(path), overrides)


def open_upstream(path: str | Path, /, **overrides: Any) -> tuple[UpstreamInfo, CAVMAESync | CAVMAEFT]:
    """`inspect_upstream` and `load_upstream` in one reading of the file."""
    path = Path(path)
    state = read_state(path)
    info = _describe(path, state, overrides)
    with torch.device("meta"):
        if info.label_dim is None or info.head is None:
            model: CAVMAESync | CAVMAEFT = CAVMAESync(info.config)
        else:
            model = CAVMAEFT(info.config, info.label_dim, info.head)
    load_strict(model, state, f"'{path}'", "Expected a file of CAV-MAE or CAV-MAE Sync: check the overrides.")
    logger.info("Loaded %s: sha256 %s, architecture %s", path, info.sha256, info.fingerprint)
    return info, model


def infer_config(state: Mapping[str, Tensor], /, **overrides: Any) -> ModelConfig:
    """The configuration read off the shapes of an upstream state dict (no `module.` prefix); overrides come last."""
    embed_dim, _, patch_size, _ = _shape(state, "patch_embed_a.proj.weight", 4)
    first_stack = "blocks_a" if _depth(state, "blocks_a") else "blocks_u"
    is_classifier = _head(state) is not None
    values: dict[str, Any] = {
        "patch_size": patch_size,
        "embed_dim": embed_dim,
        "audio_length": _audio_length(state, patch_size),
        "img_size": _img_size(state, patch_size),
        "num_frames": max(1, _shape(state, "patch_embed_v.proj.weight", 4)[1] // 3),
        "modality_specific_depth": _depth(state, "blocks_a"),
        "depth": _depth(state, "blocks_a") + _depth(state, "blocks_u"),
        "mlp_ratio": _shape(state, f"{first_stack}.0.mlp.fc1.weight", 2)[0] / embed_dim,
        "num_register_tokens": len(state["register_tokens"]) // 2 if "register_tokens" in state else 0,
        "cls_token": "cls_token_a" in state,
        "contrastive_heads": "constrative_head_audio.0.norm1.weight" in state,
        "learnable_temperature": "logit_scale" in state,
        "has_decoder": "decoder_embed.weight" in state,
        # The public classifier feeds joint blocks to one another, the public pretraining model does not.
        "chain_joint_blocks": is_classifier,
    }
    if values["has_decoder"]:
        values["decoder_embed_dim"] = _shape(state, "decoder_embed.weight", 2)[0]
        values["decoder_depth"] = _depth(state, "decoder_blocks")
        values["decoder_num_heads"] = DECODER_NUM_HEADS
    if "num_heads" not in overrides:
        values["num_heads"] = _num_heads(embed_dim)
    return ModelConfig.model_validate(values | overrides)


def _describe(path: Path, state: Mapping[str, Tensor], overrides: Mapping[str, Any]) -> UpstreamInfo:
    absent = [name for name in LANDMARKS if name not in state]
    if absent:
        raise CheckpointError(
            f"'{path}' is not a CAV-MAE or CAV-MAE Sync checkpoint: it lacks {', '.join(absent)}, "
            f"its first key is {next(iter(state))}."
        )
    head = _head(state)
    return UpstreamInfo(
        path=path,
        sha256=file_sha256(path),
        fingerprint=architecture_fingerprint(state),
        config=infer_config(state, **overrides),
        label_dim=None if head is None else len(state[LAST_LAYERS[head]]),
        head=head,
        num_tensors=len(state),
        num_parameters=sum(value.numel() for value in state.values()),
    )


def _head(state: Mapping[str, Tensor]) -> Head | None:
    """The head of a classifier's file, by the names of its tensors and the width of the probe's token."""
    if LAST_LAYERS["concat_mlp"] in state:
        if "cls_token_a" in state:
            raise CheckpointError(
                "The file has the head concat_mlp with global tokens, which no published version of the code can "
                "compute: whether they belong to its means cannot be told, use another file."
            )
        return "concat_mlp"
    if "cls_cls_token" in state and LAST_LAYERS["self_attention_cls"] in state:
        width, dim = _shape(state, "cls_cls_token", 3)[2], _shape(state, "patch_embed_a.proj.weight", 4)[0]
        return "self_attention_cls" if width == 2 * dim else "self_attention_cls_single"
    return "linear" if LAST_LAYERS["linear"] in state else None


def _shape(state: Mapping[str, Tensor], name: str, num_dims: int) -> tuple[int, ...]:
    if name not in state or state[name].ndim != num_dims:
        found = tuple(state[name].shape) if name in state else "absent"
        raise CheckpointError(f"The checkpoint's {name} is {found}, expected {num_dims} dimensions: use another file.")
    return tuple(state[name].shape)


def _depth(state: Mapping[str, Tensor], stack: str) -> int:
    return len({name.split(".")[1] for name in state if name.startswith(f"{stack}.")})


def _audio_length(state: Mapping[str, Tensor], patch_size: int) -> int:
    num_patches = _shape(state, "pos_embed_a", 3)[1]
    return num_patches * patch_size // (NUM_MEL_BINS // patch_size)


def _img_size(state: Mapping[str, Tensor], patch_size: int) -> int:
    num_patches = _shape(state, "pos_embed_v", 3)[1]
    side = math.isqrt(num_patches)
    if side * side != num_patches:
        raise CheckpointError(f"pos_embed_v has {num_patches} positions, expected a square grid: use another file.")
    return side * patch_size


def _num_heads(embed_dim: int) -> int:
    if embed_dim % HEAD_WIDTH:
        raise CheckpointError(
            f"embed_dim {embed_dim} is not a multiple of the published head width {HEAD_WIDTH}, and shapes cannot tell "
            "the number of heads: pass num_heads."
        )
    return embed_dim // HEAD_WIDTH
