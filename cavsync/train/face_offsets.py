"""The constant offset between audio and video that each group of training footage has, measured by the model itself.

Footage of one recording set-up is often off by one constant amount; a model that is trained on it as it is learns the
average of them, and every score is wrong by that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cavsync.data.face_batches import FaceWindows
from cavsync.data.faces.footage_offsets import FaceOffsets, GroupOffset
from cavsync.data.faces.windows import Place, TimedClip, WindowPlan, cut_window, inside_audio, longest_place
from cavsync.data.logmel import normalise
from cavsync.errors import MediaError
from cavsync.model.face_sync import FaceSync

MAX_LAG_FRAMES = 10
"""Frames by which the audio is looked for before and after the picture."""
MIN_GROUP_CLIPS = 3
MIN_PAIRS_SHARE = 0.5
"""A lag at which fewer frames have audio is not looked at."""
MS_DIGITS = 1


def measure_offsets(
    model: FaceSync, windows: FaceWindows, clips: Sequence[int], group_of: Sequence[str], step: int
) -> FaceOffsets:
    """Measure the offset of each group of the `clips`: the median over its clips.

    It is 0 for groups of fewer than three clips, and for those whose clips differ by more than it.
    """
    by_group: dict[str, list[float]] = {}
    for index in clips:
        try:
            offset_ms = clip_offset_ms(model, windows.clip(index), windows.plan)
        except MediaError:
            # Its own visit reports it.
            continue
        by_group.setdefault(group_of[index], []).append(offset_ms)
    groups = {name: _of_group(np.array(found)) for name, found in sorted(by_group.items())}
    return FaceOffsets(step=step, groups=groups)


def _of_group(offsets_ms: NDArray[np.float64]) -> GroupOffset:
    median = float(np.median(offsets_ms))
    spread = float(np.median(np.abs(offsets_ms - median)))
    is_sure = len(offsets_ms) >= MIN_GROUP_CLIPS and spread <= abs(median)
    return GroupOffset(audio_offset_ms=round(median, MS_DIGITS) if is_sure else 0.0, clips=len(offsets_ms))


def clip_offset_ms(model: FaceSync, clip: TimedClip, plan: WindowPlan) -> float:
    """Return the offset at the peak of a clip's similarity curve, positive where the audio is early.

    Raises MediaError for a clip of which no window can be taken.
    """
    curve = similarity_curve(model, clip, plan, longest_place(clip, plan))
    peak = int(np.nanargmax(curve))
    lag = float(peak - MAX_LAG_FRAMES)
    if 0 < peak < len(curve) - 1 and np.isfinite(curve[[peak - 1, peak + 1]]).all():
        before, top, after = curve[peak - 1 : peak + 2]
        bend = before - 2 * top + after
        lag += 0.5 * float((before - after) / bend) if bend < 0 else 0.0
    # Matching audio that comes later than the picture is late.
    return -1000 * lag / plan.frame_rate_hz


@torch.no_grad()
def similarity_curve(model: FaceSync, clip: TimedClip, plan: WindowPlan, place: Place) -> NDArray[np.float64]:
    """Return the mean cosine (2 * MAX_LAG_FRAMES + 1,) of the frames of a window with the audio that many frames later,
    from early to late; NaN where too few frames have audio. The model is to be in evaluation mode."""
    device = model.logit_scale.device
    window = cut_window(clip, plan, place, MAX_LAG_FRAMES)
    features = torch.from_numpy(np.concatenate([window.landmarks, window.mouths], axis=1)).to(device)
    log_mel = normalise(torch.from_numpy(window.log_mel)).to(device)
    visual, audio, _ = model(features[None], log_mel[None])
    cosines = (visual[0].float() @ audio[0].float().T).cpu().double().numpy()
    is_inside = inside_audio(clip, plan, place, MAX_LAG_FRAMES)
    curve = np.full(2 * MAX_LAG_FRAMES + 1, np.nan)
    own = np.arange(len(cosines))
    for lag in range(len(curve)):
        used = own[is_inside[own + lag]]
        if len(used) >= MIN_PAIRS_SHARE * len(own):
            curve[lag] = cosines[used, used + lag].mean()
    return curve
