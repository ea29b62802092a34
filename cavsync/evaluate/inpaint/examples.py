"""Write examples of inpainting: frames and spectrograms (original, masked, inpainted) as images, and audio."""

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
from cavsync.evaluate.results.images import RGBArray, colour_map, save_image, side_by_side
from cavsync.evaluate.results.result import Picture
from cavsync.model import ModelConfig

HIDDEN_GREY = 128
MIN_HEIGHT = 224
# The log-mel of a clip spans about four standard deviations of the training set.
COLDEST, HOTTEST = -2.0, 2.0


@dataclass
class InpaintExamples:
    """Writes the first moment of the first `limit` clips with one of the masks to `folder`: a PNG of the frame and one
    of the spectrogram, and the audio that Griffin-Lim makes of the original and of the inpainted log-mel."""

    folder: Path
    limit: int
    config: ModelConfig
    mask: Mask
    written: list[Picture] = field(default_factory=list)
    clips: int = 0

    def __call__(self, moments: ClipMoments, mask: Mask, audio: Inpainted, visual: Inpainted) -> None:
        """Write one clip, if it has the chosen mask and fewer than `limit` clips are written."""
        if mask != self.mask or self.clips >= self.limit:
            return
        stem = f"{self.clips:03d}-{Path(moments.name).stem}"
        self.clips += 1
        original = moments.fbank[0].T[None]
        spectrograms = [spectrogram_rgb(part) for part in (original, audio.filled[0])]
        middle = self.config.num_frames // 2
        filled = visual.filled[0].unflatten(0, (self.config.num_frames, self.config.in_chans))
        frames = [frame_rgb(part) for part in (moments.frames[0, middle], filled[middle])]
        # The model's first row of patches has the lowest frequencies, which the image shows at the bottom.
        hidden_audio = audio.hidden[0].reshape(self.config.audio_grid).flip(0)
        hidden_visual = visual.hidden[0].reshape(self.config.visual_grid)
        for name, kind, parts, hidden in (
            ("sound", "audio", spectrograms, hidden_audio),
            ("picture", "frame", frames, hidden_visual),
        ):
            row = side_by_side([_enlarged(part) for part in (parts[0], _masked(parts[0], hidden), parts[1])])
            save_image(row, self.folder / f"{stem}.{name}.png")
            title = f"{moments.name}: original, seen by the model, inpainted ({_share(hidden)} of the {kind} hidden)"
            self.written.append(Picture(title=title, file=f"{stem}.{name}.png"))
        for name, image in (("griffin-lim", original), ("inpainted", audio.filled[0])):
            log_mel = image[0].T.cpu()[: moments.inside[0]] * AUDIO_STD + AUDIO_MEAN
            write_wav(audio_of(log_mel).numpy(), self.folder / f"{stem}.{name}.wav")


def spectrogram_rgb(image: Tensor) -> RGBArray:
    """Colour normalised log-mel (1, 128, L) as an image (128, L, 3) with low frequencies at the bottom."""
    values: NDArray[np.float32] = ((image[0].flip(0) - COLDEST) / (HOTTEST - COLDEST)).cpu().numpy()
    return np.rint(colour_map(values)).astype(np.uint8)


def frame_rgb(image: Tensor) -> RGBArray:
    """Convert an ImageNet-normalised frame (3, H, W) to RGB bytes (H, W, 3), clipped to their range."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    values: RGBArray = ((image.cpu() * std + mean).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return values


def _masked(image: RGBArray, hidden: Tensor) -> RGBArray:
    """Paint the hidden patches of an image grey; `hidden` (rows, columns) from the top left."""
    rows, columns = hidden.shape
    cover = hidden.cpu().numpy().repeat(image.shape[0] // rows, axis=0).repeat(image.shape[1] // columns, axis=1)
    return np.where(cover[..., None], np.uint8(HIDDEN_GREY), image)


def _enlarged(image: RGBArray) -> RGBArray:
    """Enlarge a small image by an integer factor, without interpolation, to about MIN_HEIGHT rows."""
    factor = max(1, round(MIN_HEIGHT / image.shape[0]))
    small = Image.fromarray(image)
    return np.asarray(small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST))


def _share(hidden: Tensor) -> str:
    return f"{100 * hidden.float().mean():.0f} %"
