"""CAV-MAE Sync: masked reconstruction and contrast of audio and video, in one forward."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavsync.errors import ConfigError
from cavsync.kernels import masked_reconstruction_loss
from cavsync.model.block import Stream
from cavsync.model.config import ModelConfig
from cavsync.model.decoder import MaskedAutoencoder
from cavsync.model.encoder import Embedding
from cavsync.model.losses import contrastive_loss
from cavsync.model.masking import BatchPlace, ContrastPath, Masking, draw_mask_ratio, make_masking
from cavsync.model.patch import FramePairs, spectrogram_image, stacked_frames

MAX_LOGIT_SCALE = math.log(100.0)


class PretrainOutput(NamedTuple):
    """Result of one pretraining forward; losses are scalars, 0 where switched off.

    loss: loss_mae + loss_contrastive + loss_distillation, all already weighted; loss_mae_audio and loss_mae_visual are
    not.
    contrastive_accuracy: share of frames whose own audio scores highest (mean of both directions, and of global
    and local vectors, where configured). mask_audio, mask_visual: bool (B, N), True where hidden from the
    reconstruction.
    prediction_audio, prediction_visual: predicted patches (B, N, P), None without reconstruction.
    """

    loss: Tensor
    loss_mae: Tensor
    loss_mae_audio: Tensor
    loss_mae_visual: Tensor
    loss_contrastive: Tensor
    loss_distillation: Tensor
    contrastive_accuracy: Tensor
    temperature: Tensor
    mask_audio: Tensor
    mask_visual: Tensor
    prediction_audio: Tensor | None
    prediction_visual: Tensor | None


class Reconstruction(NamedTuple):
    """Unweighted losses (scalars) and predicted patches (B, N, P) of both modalities."""

    loss_audio: Tensor
    loss_visual: Tensor
    audio: Tensor | None
    visual: Tensor | None


class CAVMAESync(MaskedAutoencoder):
    """CAV-MAE Sync (arXiv 2505.01237); CAV-MAE, CAV and AV-MAE (arXiv 2210.07839) by configuration and weights."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if config.learnable_temperature:
            # One element and not a scalar: FSDP shards along the first dimension.
            self.logit_scale = nn.Parameter(torch.tensor([-math.log(config.contrastive_temperature)]))

    def temperature(self) -> Tensor:
        """Temperature of the contrastive softmax, a scalar; a learned one stays at or above 0.01."""
        if not self.config.learnable_temperature:
            return self.pos_embed_a.new_full((), self.config.contrastive_temperature)
        # Clamp the value but not the gradient: a zero gradient would keep the scale at the limit forever.
        excess = (self.logit_scale - self.logit_scale.clamp(max=MAX_LOGIT_SCALE)).detach()
        return torch.exp(excess - self.logit_scale).squeeze()

    def forward(
        self,
        fbank: Tensor,
        frames: Tensor | FramePairs,
        mask_ratio_audio: float = 0.75,
        mask_ratio_visual: float = 0.75,
        mae_loss_weight: float = 1.0,
        contrast_loss_weight: float = 0.01,
        *,
        ids_restore_audio: Tensor | None = None,
        ids_restore_visual: Tensor | None = None,
        contrastive_ignore: Tensor | None = None,
        gather_negatives: bool = True,
        generator: torch.Generator | None = None,
        place: BatchPlace | None = None,
        contrast_path: ContrastPath | None = None,
        distil_loss_weight: float = 0.0,
        targets: tuple[Tensor, Tensor] | None = None,
    ) -> PretrainOutput:
        """One pretraining step's losses for paired log-mel (B, audio_length, 128) and frames (B, [T,] 3, H, W).

        A model with `pair_stem` takes FramePairs too.

        mae_loss_weight=0 leaves out the joint stream and the decoder, contrast_loss_weight=0 the contrastive streams.
        ids_restore_*: (B, N) ranks in place of the random draw; the lowest ranks stay visible.
        contrastive_ignore: bool (B, B), [frame, audio] pairs that are not negatives, such as nearby instants.
        gather_negatives: False leaves the pairs of other processes out of the negatives.
        generator: makes the draws reproducible. place: position of the batch in that of all processes; each process
        then draws the masks of all and takes its own.
        contrast_path: give the contrastive streams a pass and masks of their own; None contrasts what the
        reconstruction sees. distil_loss_weight: weight of the mean squared error between the pooled vectors of audio
        and of video and their `targets`, (B, D) each, added over both.
        Raises ConfigError for shapes, ratios or weights that do not fit.
        """
        _check_weights(mae_loss_weight, contrast_loss_weight)
        config = self.config
        if config.multi_ratio_masking:
            mask_ratio_audio = draw_mask_ratio(config, generator)
            mask_ratio_visual = draw_mask_ratio(config, generator)
        _check_pairs(fbank, frames)
        batch, device = len(fbank), fbank.device
        draw = partial(make_masking, batch=batch, device=device, generator=generator, place=place)
        audio_masking = draw(
            ids_restore_audio, grid=config.audio_grid, mask_ratio=mask_ratio_audio, mode=config.mask_mode_audio
        )
        visual_masking = draw(
            ids_restore_visual, grid=config.visual_grid, mask_ratio=mask_ratio_visual, mode=config.mask_mode_visual
        )
        tokens: dict[Stream, Tensor] = {}
        is_contrastive = bool(contrast_loss_weight or distil_loss_weight)
        if is_contrastive:
            seen = audio_masking, visual_masking
            if contrast_path is not None:
                seen = self._contrast_maskings(draw, contrast_path)
            audio, visual = self._visible_streams(fbank, frames, *seen)
            tokens = {"audio": audio, "visual": visual}
        if mae_loss_weight:
            if not is_contrastive or contrast_path is not None:
                audio, visual = self._visible_streams(fbank, frames, audio_masking, visual_masking)
            tokens["joint"] = self.joint_input(audio, visual)
        tokens = self.joint_blocks(tokens)

        zero = audio.new_zeros((), dtype=torch.float32)
        rebuilt = Reconstruction(zero, zero, None, None)
        contrast, distillation, accuracy, temperature = zero, zero, zero, self.temperature()
        if mae_loss_weight:
            joint = self.split_joint(tokens["joint"], audio.shape[1] - self._num_global)
            assert isinstance(frames, Tensor)  # A model with `pair_stem` has no decoder.
            rebuilt = self._reconstruct(*joint, audio_masking, visual_masking, fbank, frames)
        if is_contrastive:
            waveform, frame = self.pool(tokens["audio"]), self.pool(tokens["visual"])
        if contrast_loss_weight:
            contrast, accuracy = self._contrast(waveform, frame, temperature, contrastive_ignore, gather_negatives)
        if distil_loss_weight:
            distillation = distil_loss_weight * _distillation(waveform.pooled, frame.pooled, targets)
        loss_mae = mae_loss_weight * (rebuilt.loss_audio + rebuilt.loss_visual)
        loss_contrastive = contrast_loss_weight * contrast
        loss = loss_mae + loss_contrastive
        return PretrainOutput(
            loss=loss + distillation if distil_loss_weight else loss,
            loss_mae=loss_mae,
            loss_mae_audio=rebuilt.loss_audio,
            loss_mae_visual=rebuilt.loss_visual,
            loss_contrastive=loss_contrastive,
            loss_distillation=distillation,
            contrastive_accuracy=accuracy,
            temperature=temperature.detach(),
            mask_audio=audio_masking.hidden,
            mask_visual=visual_masking.hidden,
            prediction_audio=rebuilt.audio,
            prediction_visual=rebuilt.visual,
        )

    def _visible_streams(
        self, fbank: Tensor, frames: Tensor | FramePairs, audio_masking: Masking, visual_masking: Masking
    ) -> tuple[Tensor, Tensor]:
        """Tokens (B, n, D) of both modalities' visible patches, ready for the joint blocks."""
        audio = self.audio_stream(self.embed_visible_audio(fbank, audio_masking))
        return audio, self.visual_stream(self.embed_visible_frames(frames, visual_masking))

    def _contrast_maskings(self, draw: Callable[..., Masking], path: ContrastPath) -> tuple[Masking, Masking]:
        """Masks of the second pass, unstructured as ranked ones are."""
        shared = partial(draw, mask_ratio=path.mask_ratio, mode="unstructured")
        return (
            shared(path.ids_restore_audio, grid=self.config.audio_grid),
            shared(path.ids_restore_visual, grid=self.config.visual_grid),
        )

    def _reconstruct(
        self,
        audio: Tensor,
        visual: Tensor,
        audio_masking: Masking,
        visual_masking: Masking,
        fbank: Tensor,
        frames: Tensor,
    ) -> Reconstruction:
        """Decode the joint stream's patch tokens and compare them with the inputs."""
        audio, visual = self.decode(audio, visual, audio_masking, visual_masking)
        patch, norm = self.config.patch_size, self.config.norm_pix_loss
        audio_target, visual_target = spectrogram_image(fbank, self.config), stacked_frames(frames, self.config)
        return Reconstruction(
            masked_reconstruction_loss(audio, audio_target, audio_masking.hidden, patch, norm),
            masked_reconstruction_loss(visual, visual_target, visual_masking.hidden, patch, norm),
            audio,
            visual,
        )

    def _contrast(
        self, audio: Embedding, frame: Embedding, temperature: Tensor, ignore: Tensor | None, gather: bool
    ) -> tuple[Tensor, Tensor]:
        """Contrastive loss and accuracy of both modalities' embeddings."""
        pairs = [(audio.pooled, frame.pooled)]
        if self.config.global_local_losses:
            pairs.append((audio.patches.mean(dim=1), frame.patches.mean(dim=1)))
        both_ways = self.config.bidirectional_contrast
        terms = [contrastive_loss(a, v, temperature, both_ways, ignore, gather) for a, v in pairs]
        losses, accuracies = zip(*terms, strict=True)
        return torch.stack(losses).mean(), torch.stack(accuracies).mean()


def _distillation(audio: Tensor, visual: Tensor, targets: tuple[Tensor, Tensor] | None) -> Tensor:
    """Mean squared error between pooled vectors and their targets, (B, D) each, added over both modalities."""
    if targets is None or (audio.shape, visual.shape) != (targets[0].shape, targets[1].shape):
        raise ConfigError("distil_loss_weight needs targets of the shape of the pooled vectors: pass a pair (B, D).")
    return F.mse_loss(audio.float(), targets[0].float()) + F.mse_loss(visual.float(), targets[1].float())


def _check_weights(mae_loss_weight: float, contrast_loss_weight: float) -> None:
    if mae_loss_weight < 0 or contrast_loss_weight < 0 or not (mae_loss_weight or contrast_loss_weight):
        raise ConfigError(
            f"The loss weights are {mae_loss_weight} (reconstruction) and {contrast_loss_weight} (contrast), expected "
            "both at least 0 and one above 0: raise one."
        )


def _check_pairs(fbank: Tensor, frames: Tensor | FramePairs) -> None:
    count = len(frames.tubelets if isinstance(frames, FramePairs) else frames)
    if len(fbank) != count:
        raise ConfigError(f"{len(fbank)} log-mels came with {count} frames, expected pairs: pass equally many.")
