"""Transformer blocks from their tensors, one operation at a time, for models written out in tests."""

import torch
from torch import Tensor


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
