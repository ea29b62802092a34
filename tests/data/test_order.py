"""Which clip comes when: every clip once per epoch, whoever reads it, and the same after a restart."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.data.order import WINDOW_SHARDS, PlannedBatches, batch_size, epoch_order


@st.composite
def plans(draw: st.DrawFn) -> dict[str, object]:
    """Options of a plan that fit one another."""
    num_ranks, parts = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    clips = draw(st.lists(st.integers(0, 500), min_size=num_ranks * parts, max_size=60, unique=True))
    return {
        "clips": clips,
        "batch_clips": draw(st.integers(1, 4)) * num_ranks * parts,
        "seed": draw(st.integers(0, 99)),
        "num_ranks": num_ranks,
        "parts": parts,
    }


def draws(plan: dict[str, object], rank: int, first_step: int = 0, num_steps: int = 30) -> list[list[tuple[int, int]]]:
    """What one process reads."""
    return list(PlannedBatches(**plan, rank=rank, first_step=first_step, num_steps=num_steps))  # type: ignore[arg-type]


@settings(deadline=None)
@given(plans())
def test_no_loss_and_no_repeats(plan: dict[str, object]) -> None:
    """Over all processes, every whole epoch names each clip exactly once."""
    clips = plan["clips"]
    assert isinstance(clips, list)
    everyone = [draw for rank in range(int(str(plan["num_ranks"]))) for batch in draws(plan, rank) for draw in batch]
    last = max(epoch for _, epoch in everyone)
    for epoch in range(last):
        assert sorted(clip for clip, at in everyone if at == epoch) == sorted(clips)
    assert len(set(everyone)) == len(everyone)


@settings(deadline=None)
@given(plans().filter(lambda plan: len(plan["clips"]) >= plan["batch_clips"]), st.integers(0, 29))
def test_resuming_and_dealing_out_change_nothing(plan: dict[str, object], step: int) -> None:
    """A resumed plan is the tail of the whole one; several processes together read the batches of one."""
    parts, num_ranks = int(str(plan["parts"])), int(str(plan["num_ranks"]))
    by_rank = [draws(plan, rank) for rank in range(num_ranks)]
    assert draws(plan, 0, first_step=step) == by_rank[0][step * parts :]
    together = [list(itertools.chain(*(batches[place] for batches in by_rank))) for place in range(30 * parts)]
    assert together == draws({**plan, "num_ranks": 1}, 0)


def test_repeated_clips_are_drawn_anew() -> None:
    """A clip that is named three times is visited three times per epoch, each time with another draw."""
    found = [draw for batch in PlannedBatches([4, 4, 9, 4], 2, 1, first_step=0, num_steps=4) for draw in batch]
    assert sorted(found) == [(4, 0), (4, 1), (4, 2), (4, 3), (4, 4), (4, 5), (9, 0), (9, 3)]
    assert sorted(found[:4]) == [(4, 0), (4, 1), (4, 2), (9, 0)]


def test_order_is_a_shuffle_by_seed_and_epoch() -> None:
    orders = {(seed, epoch): tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert tuple(epoch_order(50, 1, 2)) == orders[1, 2]


def test_shards_are_read_a_few_at_a_time() -> None:
    """Each run of as many clips as sixteen shards hold comes from sixteen shards, mixed; all clips come once."""
    shard_of = np.repeat(np.arange(64), 10)
    order = epoch_order(640, 3, 0, shard_of)
    assert sorted(order) == list(range(640))
    windows = [set(shard_of[order[first : first + 10 * WINDOW_SHARDS]]) for first in range(0, 640, 10 * WINDOW_SHARDS)]
    assert [len(window) for window in windows] == [WINDOW_SHARDS] * 4
    assert set.union(*windows) == set(range(64))
    assert windows[0] != set(range(WINDOW_SHARDS))
    # Neighbours in the order are rarely neighbours in a shard.
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.05


@pytest.mark.parametrize(("clips", "batch", "divisor", "expected"), [(10, 6, 2, 6), (5, 6, 2, 4), (1, 6, 2, 0)])
def test_batch_size(clips: int, batch: int, divisor: int, expected: int) -> None:
    assert batch_size(clips, batch, divisor) == expected
