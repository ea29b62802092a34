"""The masked autoencoder: the encoder and a light decoder that fills in hidden patches."""

import torch
from torch import Tensor

from cavsync.errors import ConfigError
from cavsync.model.block import block_stack, run_packed
from cavsync.model.config import ModelConfig
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.init import linear, token
from cavsync.model.masking import Masking
from cavsync.model.norm import LayerNorm, add_norm, product_dtype
from cavsync.model.pos_embed import position_table


class MaskedAutoencoder(AudioVisualEncoder):
    """Encoder plus joint decoder over both modalities; `has_decoder=False` builds the encoder alone.

    The decoder's parameters are at the top level, prefixed `decoder_`, as in the public checkpoints.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if not config.has_decoder:
            return
        dim, patch_area = config.decoder_embed_dim, config.patch_size**2
        self.decoder_embed = linear(config.embed_dim, dim)
        self.mask_token = token(1, 1, dim)
        self.decoder_modality_a, self.decoder_modality_v = token(1, 1, dim), token(1, 1, dim)
        self.decoder_pos_embed_a = position_table(dim, config.audio_grid, config.tr_pos)
        self.decoder_pos_embed_v = position_table(dim, config.visual_grid, config.tr_pos)
        self.decoder_blocks = block_stack(config.decoder_depth, dim, config.decoder_num_heads, config.mlp_ratio)
        self.decoder_norm = LayerNorm(dim)
        self.decoder_pred_a = linear(dim, patch_area)
        self.decoder_pred_v = linear(dim, patch_area * config.visual_channels)

    def decode(
        self, audio: Tensor, visual: Tensor, audio_masking: Masking, visual_masking: Masking
    ) -> tuple[Tensor, Tensor]:
        """Visible joint tokens (B, n, D) of both modalities -> predicted patches.

        Returns (B, N_audio, patch_size²) and (B, N_visual, patch_size² · 3 · T), in the layout of `patchify`.
        Raises ConfigError where the model has no decoder.
        """
        if not self.config.has_decoder:
            raise ConfigError(
                "This model has no decoder and cannot reconstruct: build it with has_decoder=True, "
                "or train it with mae_loss_weight=0."
            )
        audio = audio_masking.restore(self.decoder_embed(audio), self.mask_token)
        visual = visual_masking.restore(self.decoder_embed(visual), self.mask_token)
        audio = audio + self.decoder_pos_embed_a + self.decoder_modality_a
        visual = visual + self.decoder_pos_embed_v + self.decoder_modality_v
        x, branch, packing = run_packed(self.decoder_blocks, {"joint": torch.cat([audio, visual], dim=1)})
        _, x = add_norm(x, branch, [self.decoder_norm], packing.segments.tokens_per_run, product_dtype(x))
        x = x.unflatten(0, packing.segments.runs[0])
        return self.decoder_pred_a(x[:, : audio.shape[1]]), self.decoder_pred_v(x[:, audio.shape[1] :])
