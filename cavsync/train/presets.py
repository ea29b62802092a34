"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from cavsync.errors import ConfigError
from cavsync.train.recipes import Recipe
from cavsync.train.recipes.cav_mae import (
    av_mae,
    cav,
    cav_mae_base,
    cav_mae_scale_plus,
    cav_mae_scale_plus_plus,
    vggsound_continuation,
    vggsound_from_imagenet,
)
from cavsync.train.recipes.cav_mae_sync import cav_mae_sync_base, tg_dp
from cavsync.train.recipes.debug import debug
from cavsync.train.recipes.fine_tuning import (
    finetune_audioset_2m,
    finetune_audioset_20k,
    finetune_vggsound,
    probe,
)
from cavsync.train.recipes.sync_base import sync_base
from cavsync.train.recipes.sync_face import sync_face
from cavsync.train.recipes.sync_tiny import demo, sync_tiny

PRESETS: dict[str, Callable[[], Recipe]] = {
    "debug": debug,
    "demo": demo,
    "sync-tiny": sync_tiny,
    "sync-face": sync_face,
    "sync-base": sync_base,
    "cav-mae-sync-base": cav_mae_sync_base,
    "tg-dp": tg_dp,
    "cav-mae-base": cav_mae_base,
    "cav-mae-scale+": cav_mae_scale_plus,
    "cav-mae-scale++": cav_mae_scale_plus_plus,
    "av-mae": av_mae,
    "cav": cav,
    "vggsound-continuation": vggsound_continuation,
    "vggsound-from-imagenet": vggsound_from_imagenet,
    "finetune-audioset-20k": finetune_audioset_20k,
    "finetune-audioset-2m": finetune_audioset_2m,
    "finetune-vggsound": finetune_vggsound,
    "probe": probe,
}
"""The recipes by name: each returns the configurations of a model and of its training."""


def preset(name: str) -> Recipe:
    """Return the recipe of that name; ConfigError if there is none."""
    if name not in PRESETS:
        raise ConfigError(f"Unknown preset '{name}': expected one of {', '.join(PRESETS)}.")
    return PRESETS[name]()
