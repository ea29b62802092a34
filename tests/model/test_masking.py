"""Masks: counts, coverage, whole lines, at any length."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small_config

from cavsync.errors import ConfigError
from cavsync.model.masking import Masking, count_visible, draw_mask_ratio, draw_masking

grids = st.tuples(st.integers(1, 8), st.integers(1, 40))
ratios = st.floats(0.0, 0.99)
modes = st.sampled_from(["unstructured", "time", "frequency", "time-frequency"])
quick = settings(max_examples=60, deadline=None)


@quick
@given(grid=grids, ratio=ratios, mode=modes, seed=st.integers(0, 999))
def test_every_patch_has_one_rank_and_the_count_holds(grid, ratio, mode, seed) -> None:
    masking = draw_masking(3, grid, ratio, mode, generator=torch.Generator().manual_seed(seed))
    length = grid[0] * grid[1]
    assert (masking.ids_restore.sort(dim=1).values == torch.arange(length)).all()
    assert masking.num_visible == count_visible(grid, ratio, mode)
    assert 1 <= masking.num_visible <= length
    assert (masking.hidden.sum(dim=1) == length - masking.num_visible).all()


@quick
@given(grid=grids, ratio=ratios, mode=modes.filter(lambda mode: mode != "unstructured"), seed=st.integers(0, 999))
def test_structured_masks_hide_whole_lines(grid, ratio, mode, seed) -> None:
    masking = draw_masking(3, grid, ratio, mode, generator=torch.Generator().manual_seed(seed))
    for hidden in masking.hidden.reshape(3, *grid):
        rows, columns = ~hidden.all(dim=1), ~hidden.all(dim=0)
        # What is visible is exactly where visible rows and visible columns cross.
        assert ((rows[:, None] & columns[None, :]) == ~hidden).all()
        assert mode != "time" or rows.all()
        assert mode != "frequency" or columns.all()


@quick
@given(columns=st.integers(1, 80), ratio=st.floats(0.3, 0.9), mode=modes)
def test_the_hidden_share_is_as_near_as_lines_allow(columns, ratio, mode) -> None:
    rows = 8
    share = count_visible((rows, columns), ratio, mode) / (rows * columns)
    line = {"unstructured": 1 / (rows * columns), "time": 1 / columns, "frequency": 1 / rows}.get(mode, 1 / columns)
    assert abs(share - (1 - ratio)) <= line + 1e-9


@pytest.mark.parametrize("mode", ["unstructured", "time", "frequency", "time-frequency"])
def test_published_length_keeps_a_quarter(mode) -> None:
    assert count_visible((8, 64), 0.75, mode) == 128


def test_rounding_does_not_lose_a_patch() -> None:
    assert count_visible((1, 10), 0.9) == 1
    assert count_visible((2, 15), 0.9) == 3


def test_ratio_zero_shows_everything() -> None:
    masking = draw_masking(2, (8, 5), 0.0)
    patches = torch.randn(2, 40, 3)
    assert not masking.hidden.any()
    torch.testing.assert_close(masking.restore(masking.visible(patches), torch.zeros(1, 1, 3)), patches)


def test_visible_tokens_return_to_their_places() -> None:
    masking = draw_masking(3, (8, 5), 0.6, generator=torch.Generator().manual_seed(1))
    patches, filler = torch.randn(3, 40, 3), torch.full((1, 1, 3), 7.0)
    restored = masking.restore(masking.visible(patches), filler)
    torch.testing.assert_close(restored, torch.where(masking.hidden[..., None], filler, patches))


def test_lowest_ranks_stay_visible_in_order() -> None:
    masking = Masking(torch.tensor([[2, 0, 3, 1]]), num_visible=2)
    assert masking.hidden.tolist() == [[True, False, True, False]]
    assert masking.visible(torch.arange(4.0).reshape(1, 4, 1)).flatten().tolist() == [1.0, 3.0]


def test_items_differ_and_generators_repeat() -> None:
    first, again = (draw_masking(2, (8, 26), 0.75, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.ids_restore, again.ids_restore)
    assert not torch.equal(first.hidden[0], first.hidden[1])


@pytest.mark.parametrize("mode", ["time", "frequency"])
def test_every_line_is_hidden_equally_often(mode) -> None:
    hidden = draw_masking(2000, (8, 10), 0.5, mode, generator=torch.Generator().manual_seed(0)).hidden
    assert (hidden.float().mean(dim=0) - 0.5).abs().max() < 0.06


def test_ratios_are_fresh_and_within_range() -> None:
    generator = torch.Generator().manual_seed(0)
    config = small_config(mask_ratio_range=(0.2, 0.4))
    drawn = [draw_mask_ratio(config, generator) for _ in range(50)]
    assert len(set(drawn)) == 50
    assert 0.2 <= min(drawn) < 0.25
    assert 0.35 < max(drawn) <= 0.4
    chosen = {draw_mask_ratio(small_config(mask_ratio_choices=(0.5, 0.8)), generator) for _ in range(30)}
    assert chosen == {0.5, 0.8}


@pytest.mark.parametrize("ratio", [1.0, -0.1])
def test_ratios_outside_the_range_are_refused(ratio) -> None:
    with pytest.raises(ConfigError, match="mask ratio"):
        count_visible((8, 5), ratio)
