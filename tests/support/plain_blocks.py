"""Transformer blocks from their tensors, one operation at a time, for models written out in tests."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cavsync.model.classifier import Mode


class PlainBlocks:
    """state: tensors by name; the dtype of the computation is theirs."""

    def __init__(self, state: dict[str, Tensor], heads: int) -> None:
        self.state, self.heads = state, heads

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def block(self, x: Tensor, name: str, stream: str = "") -> Tensor:
        """x (B, N, D) -> (B, N, D); `stream` is the suffix of the norms of one modality, such as "_a"."""
        batch, count, dim = x.shape
        qkv = self.linear(self.norm(x, f"{name}.norm1{stream}"), f"{name}.attn.qkv")
        query, key, value = qkv.view(batch, count, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) / (dim // self.heads) ** 0.5).softmax(dim=-1)
        x = x + self.linear((weights @ value).transpose(1, 2).reshape(batch, count, dim), f"{name}.attn.proj")
        hidden = self.linear(self.norm(x, f"{name}.norm2{stream}"), f"{name}.mlp.fc1")
        return x + self.linear(hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5)), f"{name}.mlp.fc2")


class PlainClassifier(PlainBlocks):
    """The published classifier of two blocks per stack, without global tokens and registers. state: its tensors, under
    the names of a published file ("module.") or of a model."""

    def __init__(self, state: dict[str, Tensor], heads: int) -> None:
        super().__init__({name.removeprefix("module."): value for name, value in state.items()}, heads)

    def blocks(self, x: Tensor, stack: str, stream: str = "") -> Tensor:
        for number in range(2):
            x = self.block(x, f"{stack}.{number}", stream)
        return x

    def tokens(self, image: Tensor, modality: str) -> Tensor:
        weight, bias = (self.state[f"patch_embed_{modality}.proj.{kind}"] for kind in ("weight", "bias"))
        patches = F.conv2d(image, weight, bias, stride=16).flatten(2).transpose(1, 2)
        patches = patches + self.state[f"pos_embed_{modality}"] + self.state[f"modality_{modality}"]
        return self.blocks(patches, f"blocks_{modality}")

    def logits(self, fbank: Tensor, frames: Tensor, mode: Mode) -> Tensor:
        audio = self.tokens(fbank[:, None].transpose(2, 3), "a")
        visual = self.tokens(frames, "v")
        if mode == "multimodal":
            feature = self.norm(self.blocks(torch.cat([audio, visual], dim=1), "blocks_u"), "norm").mean(dim=1)
        else:
            stream, tokens = ("_a", audio) if mode in ("audio-only", "missing-visual") else ("_v", visual)
            feature = self.norm(self.blocks(tokens, "blocks_u", stream), f"norm{stream}").mean(dim=1)
            if mode.startswith("missing"):
                joint = self.norm(self.blocks(tokens, "blocks_u"), "norm").mean(dim=1)
                feature = (joint + feature) / 2
        return self.linear(self.norm(feature, "mlp_head.0"), "mlp_head.1")
