"""Open a localisation data set of any known format, and find the clips for overlays."""

from __future__ import annotations

from pathlib import Path

from cavsync.data.synth import read_truth
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.localize.ade20k_sound import TABLE_NAME, Ade20kSound
from cavsync.evaluate.localize.case import LocalizationSet
from cavsync.evaluate.localize.generated_objects import GeneratedObjects
from cavsync.evaluate.localize.vgg_ss import VggSs
from cavsync.media.files import MEDIA_ENDINGS, find_media
from cavsync.media.resample import ChannelRule


def open_localization_set(
    path: Path, media: Path | None = None, boxes_needed: int = 1, channels: ChannelRule = "mix"
) -> LocalizationSet:
    """Open generated clips with masks, an ADE20K_Sound folder, or a VGG-SS JSON with its clips in `media`.

    Raises DataError for anything else, ConfigError for a JSON without `media`.
    """
    if path.suffix.lower() == ".json" and path.is_file():
        if media is None:
            raise ConfigError(f"{path} lists clips without their folder: give it with --media.")
        return VggSs.open(path, media, boxes_needed=boxes_needed, channels=channels)
    if (path / TABLE_NAME).is_file():
        return Ade20kSound.open(path, channels)
    if read_truth(path):
        return GeneratedObjects.open(path, channels)
    raise DataError(
        f"{path} has no annotations of sounding objects: give clips of `cavsync data synth --masks`, a folder with "
        f"{TABLE_NAME}, a VGG-SS .json with --media, or --only-overlays"
    )


def clips_to_overlay(path: Path) -> list[Path]:
    """Return a media file, or all media files of a folder. Raises DataError if there is none."""
    found = [path] if path.is_file() and path.suffix.lower() in MEDIA_ENDINGS else find_media(path)
    if not found:
        raise DataError(f"{path} holds no media file, expected videos such as .mp4 or .webm: give another path")
    return found
