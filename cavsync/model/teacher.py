"""The teacher of TG-DP (arXiv 2604.08147): an encoder that sees whole inputs and gives the student's targets."""

from typing import NamedTuple, cast

import torch
from torch import Tensor

from cavsync.model.block import Block, Packing, Stream, unpack
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.patch import FramePairs


class Teaching(NamedTuple):
    """A teacher's outputs for a batch.

    audio, visual: (B, D), pooled vectors after their norms, not L2-normalised. audio_priority, visual_priority: (B, N),
    how much each patch attends to its modality's global token in the last joint block, mean over heads; None without a
    global token.
    """

    audio: Tensor
    visual: Tensor
    audio_priority: Tensor | None
    visual_priority: Tensor | None


class TeacherEncoder(AudioVisualEncoder):
    """The encoder of a pretraining model, by the names of its parameters; nothing is masked."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.model_copy(update={"has_decoder": False}))
        self.requires_grad_(False)

    def forward(self, fbank: Tensor, frames: Tensor | FramePairs) -> Teaching:
        """Log-mel (B, audio_length, 128) and frames (B, [T,] 3, H, W) or FramePairs -> Teaching; ConfigError for other
        shapes."""
        tokens: dict[Stream, Tensor] = {
            "audio": self.audio_stream(self.embed_audio(fbank)),
            "visual": self.visual_stream(self.embed_frames(frames)),
        }
        # Read where the block computes them: FSDP gathers its weights only there.
        projections: list[Tensor] = []
        qkv = cast(Block, self.blocks_u[-1]).attn.qkv
        handle = qkv.register_forward_hook(lambda _module, _inputs, output: projections.append(output))
        try:
            streams = self.joint_blocks(tokens)
        finally:
            handle.remove()
        audio, visual = self.pool(streams["audio"]), self.pool(streams["visual"])
        if not self.config.cls_token:
            return Teaching(audio.pooled, visual.pooled, None, None)
        attended = {
            stream: _attention_to_first(projected, self.config.num_heads)
            for stream, projected in unpack(projections[0], Packing.of(tokens)).items()
        }
        count = audio.patches.shape[1], visual.patches.shape[1]
        return Teaching(
            audio.pooled,
            visual.pooled,
            attended["audio"][:, 1 : 1 + count[0]],
            attended["visual"][:, 1 : 1 + count[1]],
        )


def _attention_to_first(projected: Tensor, num_heads: int) -> Tensor:
    """Attention of each token to the first one, mean over heads, (B, n), from query, key and value (B, n, 3 D)."""
    with torch.autocast(projected.device.type, enabled=False):
        query, key, _ = projected.float().unflatten(2, (3, num_heads, -1)).permute(2, 0, 3, 1, 4)
        logits = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5
        attended: Tensor = logits.softmax(dim=-1)[..., 0].mean(dim=1)
        return attended
