"""The audio-visual encoder: two modality-specific stacks, then joint blocks with one set of norms per stream."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.model.block import Packing, Stream, block_stack, run_blocks, run_packed, unpack
from cavsync.model.config import ModelConfig
from cavsync.model.init import token
from cavsync.model.masking import Masking
from cavsync.model.norm import LayerNorm, add_norm
from cavsync.model.pair_stem import FramePairs, PairStem
from cavsync.model.patch import PatchEmbed, embedded_frames, patch_embedding, spectrogram_image
from cavsync.model.pos_embed import position_table

NUM_HEAD_BLOCKS = 2


class Embedding(NamedTuple):
    """One encoder's output for a batch; not L2-normalised.

    pooled: (B, D), the global token after its norm, or the mean of the patch tokens without one.
    patches: (B, N, D), patch tokens after the norm, row-major.
    """

    pooled: Tensor
    patches: Tensor


class AudioVisualEncoder(nn.Module):
    """Encoders of CAV-MAE Sync (arXiv 2505.01237) and CAV-MAE (arXiv 2210.07839), by configuration.

    Parameter names are those of the public checkpoints. A stream's tokens are ordered [global | patches | registers].
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dim, size = config.embed_dim, (config.embed_dim, config.num_heads, config.mlp_ratio)
        self.patch_embed_a = patch_embedding(1, config)
        self.patch_embed_v = PairStem(config) if config.pair_stem else patch_embedding(config.visual_channels, config)
        self.modality_a, self.modality_v = token(1, 1, dim), token(1, 1, dim)
        self.pos_embed_a = position_table(dim, config.audio_grid, config.tr_pos)
        self.pos_embed_v = position_table(dim, config.visual_grid, config.tr_pos)
        if config.num_register_tokens:
            self.register_tokens = token(2 * config.num_register_tokens, dim)
        if config.cls_token:
            self.cls_token_a, self.cls_token_v = token(1, 1, dim), token(1, 1, dim)
        self.blocks_a = block_stack(config.modality_specific_depth, *size)
        self.blocks_v = block_stack(config.modality_specific_depth, *size)
        self.blocks_u = block_stack(config.joint_depth, *size)
        if config.contrastive_heads:
            # Spelt as in the public checkpoints.
            self.constrative_head_audio = block_stack(NUM_HEAD_BLOCKS, *size)
            self.constrative_head_visual = block_stack(NUM_HEAD_BLOCKS, *size)
        self.norm_a, self.norm_v, self.norm = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)

    def encode_audio(self, fbank: Tensor) -> Embedding:
        """Normalised log-mel (B, audio_length, 128) -> Embedding; ConfigError for another shape."""
        return self.audio_embedding(self.audio_stream(self.embed_audio(fbank)))

    def encode_frames(self, frames: Tensor | FramePairs) -> Embedding:
        """Normalised RGB (B, 3, H, W), or (B, T, 3, H, W) for T frames -> Embedding; ConfigError for another shape.

        A model with `pair_stem` takes FramePairs too.
        """
        return self.visual_embedding(self.visual_stream(self.embed_frames(frames)))

    def embed_audio(self, fbank: Tensor) -> Tensor:
        """Log-mel (B, audio_length, 128) -> patch vectors with position and modality (B, N, D)."""
        patches: Tensor = self.patch_embed_a(spectrogram_image(fbank, self.config))
        return patches + self.pos_embed_a + self.modality_a

    def embed_frames(self, frames: Tensor | FramePairs) -> Tensor:
        """Frames (B, [T,] 3, H, W) or FramePairs -> patch vectors with position and modality (B, N, D)."""
        embed = self.patch_embed_v
        patches: Tensor = embed(frames) if isinstance(embed, PairStem) else embed(self._image(frames))
        return self.place_frames(patches)

    def place_frames(self, patches: Tensor) -> Tensor:
        """Add position and modality to patch vectors of frames (B, N, D)."""
        return patches + self.pos_embed_v + self.modality_v

    def embed_visible_audio(self, fbank: Tensor, masking: Masking) -> Tensor:
        """Log-mel (B, audio_length, 128) -> vectors of the visible patches (B, n, D); hidden ones are not read."""
        embed = self.patch_embed_a
        if isinstance(embed, PatchEmbed):
            image = spectrogram_image(fbank, self.config)
            return embed.kept(image, masking.ids_keep, self.pos_embed_a, self.modality_a)
        return masking.visible(self.embed_audio(fbank))

    def embed_visible_frames(self, frames: Tensor | FramePairs, masking: Masking) -> Tensor:
        """Frames (B, [T,] 3, H, W) or FramePairs -> vectors of the visible patches (B, n, D); hidden ones are not
        read."""
        embed = self.patch_embed_v
        if isinstance(embed, PatchEmbed):
            image = self._image(frames)
            return embed.kept(image, masking.ids_keep, self.pos_embed_v, self.modality_v)
        return masking.visible(self.embed_frames(frames))

    def audio_stream(self, patches: Tensor) -> Tensor:
        """Visible audio patches (B, n, D) through the audio blocks -> tokens ready for the joint blocks."""
        extra = self.config.num_register_tokens
        return self._modality_stream(
            patches,
            self.blocks_a,
            self.cls_token_a if self.config.cls_token else None,
            self.register_tokens[:extra] if extra else None,
        )

    def visual_stream(self, patches: Tensor) -> Tensor:
        """Visible frame patches (B, n, D) through the visual blocks -> tokens ready for the joint blocks."""
        extra = self.config.num_register_tokens
        return self._modality_stream(
            patches,
            self.blocks_v,
            self.cls_token_v if self.config.cls_token else None,
            self.register_tokens[extra:] if extra else None,
        )

    def joint_input(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Tokens of both modalities (B, n, D) concatenated, so that they attend to each other."""
        return torch.cat([audio[:, self._num_global :], visual[:, self._num_global :]], dim=1)

    def joint_blocks(self, tokens: dict[Stream, Tensor]) -> dict[Stream, Tensor]:
        """Streams (B, n, D) through the joint blocks and their final norms, all in one pass.

        Any of "audio" and "visual" (with global token: the contrastive streams) and "joint" (`joint_input`). A stream's
        result does not depend on which others are passed with it.
        """
        first, rest = self._unchained_blocks(tokens)
        if first:
            tokens = {**tokens, "joint": run_blocks(first, tokens["joint"])}
        x, branch, packing = run_packed(rest, tokens)
        if self.config.contrastive_heads and {"audio", "visual"} & tokens.keys():
            x, branch = self._through_heads(x if branch is None else x + branch, packing), None
        norms = {"joint": self.norm, "audio": self.norm_a, "visual": self.norm_v}
        rows = packing.segments.tokens_per_run
        _, normed = add_norm(x, branch, [norms[stream] for stream in packing.streams], rows)
        return unpack(normed, packing)

    def joint_stream(self, audio: Tensor, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Both modalities' tokens, attending to each other -> patch tokens after the joint norm, (B, n, D) each."""
        joint = self.joint_blocks({"joint": self.joint_input(audio, visual)})["joint"]
        return self.split_joint(joint, audio.shape[1] - self._num_global)

    def split_joint(self, joint: Tensor, num_audio: int) -> tuple[Tensor, Tensor]:
        """The joint stream's tokens as patch tokens of audio and video, (B, n, D) each."""
        return self._without_registers(joint[:, :num_audio]), self._without_registers(joint[:, num_audio:])

    def audio_embedding(self, tokens: Tensor) -> Embedding:
        """Audio tokens through the joint blocks with the audio norms -> Embedding."""
        return self.pool(self.joint_blocks({"audio": tokens})["audio"])

    def visual_embedding(self, tokens: Tensor) -> Embedding:
        """Visual tokens through the joint blocks with the visual norms -> Embedding."""
        return self.pool(self.joint_blocks({"visual": tokens})["visual"])

    def pool(self, tokens: Tensor) -> Embedding:
        """A contrastive stream's normalised tokens -> Embedding."""
        tokens = self._without_registers(tokens)
        patches = tokens[:, self._num_global :]
        if self.config.cls_token:
            return Embedding(tokens[:, 0], patches)
        return Embedding(patches.amax(dim=1) if self.config.max_pooling else patches.mean(dim=1), patches)

    def _image(self, frames: Tensor | FramePairs) -> Tensor:
        """Frames as the image that is embedded, in a model without `pair_stem`."""
        if isinstance(frames, FramePairs):
            raise ConfigError("FramePairs came to a model without pair_stem, expected frames: pass (B, [T,] 3, H, W).")
        return embedded_frames(frames, self.config)

    def _unchained_blocks(self, tokens: dict[Stream, Tensor]) -> tuple[list[nn.Module], list[nn.Module]]:
        """Joint blocks for the joint stream alone, and those for all streams.

        Unchained, each block is applied to the contrastive streams' input and replaces the one before: only the last
        one counts for them.
        """
        blocks = list(self.blocks_u)
        if self.config.chain_joint_blocks or tokens.keys() == {"joint"}:
            return [], blocks
        return (blocks[:-1] if "joint" in tokens else []), blocks[-1:]

    def _through_heads(self, x: Tensor, packing: Packing) -> Tensor:
        """Packed tokens with the contrastive streams sent through their heads."""
        streams = unpack(x, packing)
        for stream, head in self._heads().items():
            if stream in streams:
                streams[stream] = run_blocks(head, streams[stream])
        return torch.cat([part.flatten(0, 1) for part in streams.values()])

    def _heads(self) -> dict[Stream, nn.ModuleList]:
        return {"audio": self.constrative_head_audio, "visual": self.constrative_head_visual}

    @property
    def _num_global(self) -> int:
        return 1 if self.config.cls_token else 0

    @property
    def _num_kept_registers(self) -> int:
        return self.config.num_register_tokens if self.config.keep_register_tokens else 0

    def _modality_stream(
        self, patches: Tensor, blocks: nn.ModuleList, cls_token: Tensor | None, registers: Tensor | None
    ) -> Tensor:
        batch = patches.shape[0]
        parts = [patches]
        if cls_token is not None:
            parts.insert(0, cls_token.expand(batch, -1, -1))
        if registers is not None:
            parts.append(registers.unsqueeze(0).expand(batch, -1, -1))
        # Under autocast the patches are float32 sums, like the tokens: one dtype for the residual stream.
        tokens = run_blocks(blocks, torch.cat(parts, dim=1))
        if registers is None or self.config.keep_register_tokens:
            return tokens
        return tokens[:, : tokens.shape[1] - registers.shape[0]]

    def _without_registers(self, tokens: Tensor) -> Tensor:
        return tokens[:, : tokens.shape[1] - self._num_kept_registers]
