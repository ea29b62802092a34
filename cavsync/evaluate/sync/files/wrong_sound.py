"""The control of a sync test: pair each clip's video with the audio of a clip of another group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from cavsync.evaluate.sync.files.clip_lengths import ClipLength

# Sounds may end this much before the video without counting as shorter: codecs cut streams at different places.
LENGTH_TOLERANCE_SECONDS = 0.1
# Costs of an assignment: any number of shorter sounds is better than one of the same group.
SHORTER_COST = 1e3
SAME_GROUP_COST = 1e8


@dataclass(frozen=True)
class Partner:
    """The place of the clip that gives its sound, and whether that sound ends before the video does."""

    place: int
    is_shorter: bool


def assign_sounds(clips: Sequence[ClipLength], groups: Sequence[str], seed: int) -> list[Partner | None]:
    """Give each clip the sound of one of another group, each sound once: no clip keeps its own.

    As many clips as possible get a sound at least as long as their video; sounds are never cut or repeated. Where one
    group has more than half of the clips, some of them are left over, and sounds of other groups are used again for
    them. None for every clip if there is only one group. The choice is random, determined by the seed.
    """
    video = np.array([clip.video_seconds for clip in clips])
    audio = np.array([clip.audio_seconds for clip in clips])
    shorter = audio[None, :] < video[:, None] - LENGTH_TOLERANCE_SECONDS
    same = np.array(groups)[None, :] == np.array(groups)[:, None]
    random = np.random.default_rng(seed)
    partners: list[Partner | None] = [None] * len(clips)
    waiting = np.arange(len(clips))
    while len(waiting) and not same.all():
        costs = random.random((len(waiting), len(clips))) + SHORTER_COST * shorter[waiting]
        rows, chosen = linear_sum_assignment(costs + SAME_GROUP_COST * same[waiting])
        places = waiting[rows]
        apart = ~same[places, chosen]
        for place, other in zip(places[apart], chosen[apart], strict=True):
            partners[place] = Partner(int(other), bool(shorter[place, other]))
        waiting = places[~apart]
    return partners
