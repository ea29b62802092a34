"""Inpainted pictures, spectrograms and sounds as files: original, what the model saw, what it made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD
from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
from cavsync.evaluate.inpaint.griffin_lim import audio_of, write_wav
from cavsync.evaluate.inpaint.measure import ClipMoments, Mask
from cavsync.evaluate.inpaint.reconstruct import Inpainted
from cavsync.evaluate.results.images import RGBArray, colour_map, save_picture, side_by_side
from cavsync.evaluate.results.result import Picture
from cavsync.model import ModelConfig

HIDDEN_GREY = 128
MIN_HEIGHT = 224
# Log-mel of an audio track spans about four standard deviations of the training set's.
COLDEST, HOTTEST = -2.0, 2.0


@dataclass
class InpaintExamples:
    """Writes the first moment of the first `limit` clips under one of the masks to `folder`: a PNG each of picture and
    spectrogram, and the audio before, through Griffin-Lim without a mask, and inpainted."""

    folder: Path
    limit: int
    config: ModelConfig
    mask: Mask
    written: list[Picture] = field(default_factory=list)
    clips: int = 0

    def __call__(self, moments: ClipMoments, mask: Mask, audio: Inpainted, visual: Inpainted) -> None:
        """Write one clip, where it is asked for."""
        if mask != self.mask or self.clips >= self.limit:
            return
        stem = f"{self.clips:03d}-{Path(moments.name).stem}"
        self.clips += 1
        original = moments.fbank[0].T[None]
        spectrograms = [spectrogram_picture(part) for part in (original, audio.filled[0])]
        middle = self.config.num_frames // 2
        filled = visual.filled[0].unflatten(0, (self.config.num_frames, self.config.in_chans))
        pictures = [rgb_picture(part) for part in (moments.frames[0, middle], filled[middle])]
        # A spectrogram's lowest row of patches is the model's first.
        hidden_audio = audio.hidden[0].reshape(self.config.audio_grid).flip(0)
        hidden_picture = visual.hidden[0].reshape(self.config.visual_grid)
        for kind, parts, where in (("sound", spectrograms, hidden_audio), ("picture", pictures, hidden_picture)):
            board = side_by_side([_enlarged(part) for part in (parts[0], _masked(parts[0], where), parts[1])])
            save_picture(board, self.folder / f"{stem}.{kind}.png")
            title = f"{moments.name}: original, seen by the model, inpainted ({_share(where)} of the {kind} hidden)"
            self.written.append(Picture(title=title, file=f"{stem}.{kind}.png"))
        for name, image in (("griffin-lim", original), ("inpainted", audio.filled[0])):
            log_mel = image[0].T.cpu()[: moments.inside[0]] * AUDIO_STD + AUDIO_MEAN
            write_wav(audio_of(log_mel).numpy(), self.folder / f"{stem}.{name}.wav")


def spectrogram_picture(image: Tensor) -> RGBArray:
    """Normalised log-mel (1, 128, L) as a picture (128, L, 3), low frequencies at the bottom."""
    values: NDArray[np.float32] = ((image[0].flip(0) - COLDEST) / (HOTTEST - COLDEST)).cpu().numpy()
    return np.rint(colour_map(values)).astype(np.uint8)


def rgb_picture(image: Tensor) -> RGBArray:
    """ImageNet-normalised (3, H, W) as RGB bytes (H, W, 3); what lies outside is cut off."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    values: RGBArray = ((image.cpu() * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return values


def _masked(picture: RGBArray, hidden: Tensor) -> RGBArray:
    """The picture with hidden patches grey; `hidden` (rows, columns) from the top left."""
    rows, columns = hidden.shape
    cover = hidden.cpu().numpy().repeat(picture.shape[0] // rows, axis=0).repeat(picture.shape[1] // columns, axis=1)
    return np.where(cover[..., None], np.uint8(HIDDEN_GREY), picture)


def _enlarged(picture: RGBArray) -> RGBArray:
    """Small pictures by a whole factor, pixel by pixel, to at least about MIN_HEIGHT rows."""
    factor = max(1, round(MIN_HEIGHT / picture.shape[0]))
    image = Image.fromarray(picture)
    return np.asarray(image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST))


def _share(hidden: Tensor) -> str:
    return f"{100 * hidden.float().mean():.0f} %"
