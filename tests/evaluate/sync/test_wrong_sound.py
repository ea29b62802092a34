"""The control of the sync test: sounds of other groups, each used once, as long as the videos where possible."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.evaluate.sync.files.clip_lengths import ClipLength
from cavsync.evaluate.sync.files.wrong_sound import LENGTH_TOLERANCE_SECONDS, assign_sounds

clips = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(1, 9), st.integers(1, 9)).map(
        lambda found: (found[0], ClipLength(float(found[1]), float(found[2])))
    ),
    max_size=6,
)


def fits(video: ClipLength, sound: ClipLength) -> bool:
    return sound.audio_seconds >= video.video_seconds - LENGTH_TOLERANCE_SECONDS


@settings(max_examples=200, deadline=None)
@given(clips, st.integers(0, 9))
def test_sounds_are_a_derangement_by_group(found: list[tuple[str, ClipLength]], seed: int) -> None:
    """No clip gets a sound of its group. Where a permutation can do that, no sound is used twice and as few as possible
    are shorter, compared with all permutations; elsewhere only the clips too many use sounds again."""
    groups, lengths = [group for group, _ in found], [length for _, length in found]
    partners = assign_sounds(lengths, groups, seed)
    if len(set(groups)) < 2:
        assert partners == [None] * len(found)
        return
    places = [partner.place for partner in partners if partner is not None]
    assert len(places) == len(found)
    for place, partner in enumerate(partners):
        assert partner is not None
        assert groups[partner.place] != groups[place]
        assert partner.is_shorter != fits(lengths[place], lengths[partner.place])
    most = max(groups.count(group) for group in groups)
    again = max(0, 2 * most - len(found))
    assert len(places) - len(set(places)) <= again
    costs = []
    for order in permutations(range(len(found))):
        pairs = list(enumerate(order))
        if all(groups[place] != groups[other] for place, other in pairs):
            costs.append(sum(not fits(lengths[place], lengths[other]) for place, other in pairs))
    assert bool(costs) == (again == 0)
    if costs:
        assert sum(partner is not None and partner.is_shorter for partner in partners) == min(costs)


def test_the_choice_is_that_of_the_seed() -> None:
    lengths, groups = [ClipLength(3.0, 3.0)] * 40, [str(number) for number in range(40)]
    first = assign_sounds(lengths, groups, 1)
    assert first == assign_sounds(lengths, groups, 1)
    assert first != assign_sounds(lengths, groups, 2)
    assert all(partner is not None for partner in first)


def test_sounds_are_used_again_for_a_group_of_more_than_half() -> None:
    partners = assign_sounds([ClipLength(3.0, 3.0)] * 5, ["a", "a", "a", "a", "b"], 0)
    assert [partner and partner.place for partner in partners[:4]] == [4] * 4
    assert partners[4] is not None
    assert partners[4].place < 4


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_clips_have_no_partner(count: int) -> None:
    assert assign_sounds([ClipLength(3.0, 3.0)] * count, ["a"] * count, 0) == [None] * count
