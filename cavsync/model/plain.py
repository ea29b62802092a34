"""The pretraining forward as published: the reference for the packed forward in tests and benchmarks."""

import torch
from torch import Tensor

from cavsync.kernels.reference import masked_reconstruction_loss
from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.losses import contrastive_loss
from cavsync.model.masking import make_masking
from cavsync.model.patch import spectrogram_image, stacked_frames


def plain_loss(
    model: CAVMAESync,
    fbank: Tensor,
    frames: Tensor,
    mask_ratio_audio: float = 0.75,
    mask_ratio_visual: float = 0.75,
    mae_loss_weight: float = 1.0,
    contrast_loss_weight: float = 0.01,
    *,
    ids_restore_audio: Tensor | None = None,
    ids_restore_visual: Tensor | None = None,
) -> Tensor:
    """`CAVMAESync.forward(...).loss` as the papers describe it, a scalar.

    All patches are embedded, then masked; each stream goes through the joint blocks separately; targets are computed
    for all patches. Arguments as for the model.
    """
    config, batch, device = model.config, len(fbank), fbank.device
    masking_a = make_masking(
        ids_restore_audio, batch, device, config.audio_grid, mask_ratio_audio, config.mask_mode_audio, None
    )
    masking_v = make_masking(
        ids_restore_visual, batch, device, config.visual_grid, mask_ratio_visual, config.mask_mode_visual, None
    )
    audio = model.audio_stream(masking_a.visible(model.embed_audio(fbank)))
    visual = model.visual_stream(masking_v.visible(model.embed_frames(frames)))
    joint = model.joint_stream(audio, visual)
    waveform, frame = model.audio_embedding(audio), model.visual_embedding(visual)

    predicted_a, predicted_v = model.decode(*joint, masking_a, masking_v)
    patch, norm = config.patch_size, config.norm_pix_loss
    loss = masked_reconstruction_loss(predicted_a, spectrogram_image(fbank, config), masking_a.hidden, patch, norm)
    loss = loss + masked_reconstruction_loss(predicted_v, stacked_frames(frames, config), masking_v.hidden, patch, norm)
    pairs = [(waveform.pooled, frame.pooled)]
    if config.global_local_losses:
        pairs.append((waveform.patches.mean(dim=1), frame.patches.mean(dim=1)))
    temperature, both = model.temperature(), config.bidirectional_contrast
    contrast = torch.stack([contrastive_loss(a, v, temperature, both)[0] for a, v in pairs]).mean()
    return mae_loss_weight * loss + contrast_loss_weight * contrast
