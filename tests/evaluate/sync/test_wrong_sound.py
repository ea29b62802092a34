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
    """No clip gets a sound of its group, no sound is used twice; compared with all permutations, as few clips as
    possible are left out, and of the others as few as possible get a shorter sound."""
    groups, lengths = [group for group, _ in found], [length for _, length in found]
    partners = assign_sounds(lengths, groups, seed)
    given_sounds = [partner.place for partner in partners if partner is not None]
    assert len(set(given_sounds)) == len(given_sounds)
    for place, partner in enumerate(partners):
        if partner is not None:
            assert groups[partner.place] != groups[place]
            assert partner.is_shorter != fits(lengths[place], lengths[partner.place])
    costs = []
    for order in permutations(range(len(found))):
        pairs = list(enumerate(order))
        apart = [(place, other) for place, other in pairs if groups[place] != groups[other]]
        shorter = sum(not fits(lengths[place], lengths[other]) for place, other in apart)
        costs.append((len(pairs) - len(apart), shorter))
    left_out = sum(partner is None for partner in partners)
    assert left_out == min(costs)[0]
    if not left_out:
        assert sum(partner is not None and partner.is_shorter for partner in partners) == min(costs)[1]


def test_the_choice_is_that_of_the_seed() -> None:
    lengths, groups = [ClipLength(3.0, 3.0)] * 40, [str(number) for number in range(40)]
    first = assign_sounds(lengths, groups, 1)
    assert first == assign_sounds(lengths, groups, 1)
    assert first != assign_sounds(lengths, groups, 2)
    assert all(partner is not None for partner in first)


def test_a_group_of_more_than_half_is_left_over() -> None:
    lengths = [ClipLength(3.0, 3.0)] * 5
    partners = assign_sounds(lengths, ["a", "a", "a", "b", "c"], 0)
    assert sum(partner is None for partner in partners) == 1
    assert partners[3] is not None
    assert partners[4] is not None


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_clips_have_no_partner(count: int) -> None:
    assert assign_sounds([ClipLength(3.0, 3.0)] * count, ["a"] * count, 0) == [None] * count
