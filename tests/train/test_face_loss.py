"""The face model's two losses and its accuracy against plain loops; padding never matters."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cavsync.model.face_sync import joined, parted
from cavsync.train.tasks.face_sync import (
    CURVE_REACH_FRAMES,
    CURVE_SCALE,
    MIN_CURVE_ROWS,
    contrast_loss,
    curve_loss,
    similarities,
    window_accuracy,
)

MEMBERS, DIM = 3, 4
SCALE = torch.tensor(7.0)


def embeddings(frames: int, windows: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors (MEMBERS, windows, frames, DIM) of pictures and sound, alike but for noise."""
    generator = torch.Generator().manual_seed(seed)
    visual = torch.randn(MEMBERS, windows, frames, DIM, generator=generator)
    audio = visual + 4.0 * torch.randn(visual.shape, generator=generator)
    return F.normalize(visual, dim=-1), F.normalize(audio, dim=-1)


def negative_log_share(values: list[float], right: int) -> float:
    return math.log(sum(math.exp(value - values[right]) for value in values))


def contrast_by_hand(visual: Tensor, audio: Tensor, used: list[int]) -> float:
    """Each moment of each window and member, among the pictures and among the sounds."""
    terms = []
    for member in range(MEMBERS):
        for window, count in enumerate(used):
            cosines = (visual[member, window, :count] @ audio[member, window, :count].T).tolist()
            for own in range(count):
                terms.append(negative_log_share([7 * value for value in cosines[own]], own))
                terms.append(negative_log_share([7 * row[own] for row in cosines], own))
    return sum(terms) / len(terms)


def curve_by_hand(visual: Tensor, audio: Tensor, used: list[int]) -> float:
    """The mean along each diagonal that is long enough; lag 0 is the right one."""
    terms = []
    for member in range(MEMBERS):
        for window, count in enumerate(used):
            heights, right = [], -1
            for lag in range(-CURVE_REACH_FRAMES, CURVE_REACH_FRAMES + 1):
                pairs = [(frame, frame + lag) for frame in range(count) if 0 <= frame + lag < count]
                if len(pairs) < MIN_CURVE_ROWS:
                    continue
                right = len(heights) if lag == 0 else right
                along = [float(visual[member, window, one] @ audio[member, window, other]) for one, other in pairs]
                heights.append(CURVE_SCALE * sum(along) / len(along))
            terms.append(negative_log_share(heights, right))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("used", [[30, 30], [30, 13], [12, 6], [8, 7]])
def test_losses_by_hand(used: list[int]) -> None:
    visual, audio = embeddings(max(used))
    cosines, mask = similarities(visual, audio, torch.tensor(used))
    assert float(contrast_loss(cosines, mask, SCALE)) == pytest.approx(contrast_by_hand(visual, audio, used), rel=1e-5)
    assert float(curve_loss(cosines, mask)) == pytest.approx(curve_by_hand(visual, audio, used), rel=1e-4, abs=1e-5)


def test_padding_does_not_matter() -> None:
    """More of it, and whatever it holds: the same losses, and no gradient into it."""
    used = torch.tensor([20, 9])
    visual, audio = embeddings(20)
    wanted = [float(loss) for loss in losses(visual, audio, used)]
    padded = [F.pad(values, (0, 0, 0, 11)) for values in (visual, audio)]
    for values in padded:
        values[:, 0, 20:], values[:, 1, 9:] = 5.0, -3.0
        values.requires_grad_()
    found = losses(*padded, used)
    assert [float(loss.detach()) for loss in found] == pytest.approx(wanted, rel=1e-6)
    sum(found).backward()  # type: ignore[union-attr]
    for values in padded:
        assert values.grad is not None
        assert torch.isfinite(values.grad).all()
        assert not values.grad[:, 0, 20:].any()
        assert not values.grad[:, 1, 9:].any()
        assert values.grad[:, 1, :9].any()


def losses(visual: Tensor, audio: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    cosines, mask = similarities(visual, audio, used)
    return contrast_loss(cosines, mask, SCALE), curve_loss(cosines, mask)


def test_sound_that_is_late_costs_more() -> None:
    """Both losses are lowest where each moment's sound is its own."""
    visual, _ = embeddings(40, windows=1)
    used = torch.tensor([40])
    at = [losses(visual, visual.roll(shift, dims=2), used) for shift in (0, 1, -4)]
    for late in at[1:]:
        assert all(float(one) > float(exact) + 0.1 for one, exact in zip(late, at[0], strict=True))


def test_members_are_joined_and_parted() -> None:
    """The cosine of joined vectors is the mean of the members' cosines; parting gives the members back."""
    visual, audio = embeddings(5)
    whole = [joined(list(values)) for values in (visual, audio)]
    for values in whole:
        torch.testing.assert_close(values.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close((whole[0] * whole[1]).sum(-1), (visual * audio).sum(-1).mean(0))
    torch.testing.assert_close(parted(whole[0], MEMBERS), visual)


def test_accuracy_by_hand() -> None:
    visual, audio = (joined(list(values)) for values in embeddings(9))
    used, right = [9, 4], []
    for window, count in enumerate(used):
        cosines = visual[window, :count] @ audio[window, :count].T
        right += [int(cosines[row].argmax()) == row for row in range(count)]
    assert 0 < sum(right) < len(right)
    assert float(window_accuracy(visual, audio, torch.tensor(used))) == pytest.approx(sum(right) / len(right))
