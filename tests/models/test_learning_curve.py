"""Which footage the runs of the learning curve see: nested shares of whole groups, and nothing that is tested."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

USES = ("train+test", "research", "test-only")
CLIP = st.fixed_dictionaries(
    {
        "use": st.sampled_from(USES),
        "group": st.integers(0, 30).map(str),
        "duration_s": st.floats(0.5, 9.0).map("{:.2f}".format),
    }
)


def table(clips: list[dict[str, str]]) -> list[dict[str, str]]:
    """Number the clips, and give each group one split, as real tables do."""
    split = {"test-only": ("", ""), "research": ("train", "held"), "train+test": ("train", "held")}
    return [
        clip
        | {
            "path": f"{number}.mp4",
            "group": f"{clip['use']}/{clip['group']}",
            "split": split[clip["use"]][int(clip["group"]) % 3 == 0],
        }
        for number, clip in enumerate(clips)
    ]


@given(st.lists(CLIP, max_size=120))
def test_shares_of_footage(clips: list[dict[str, str]]) -> None:
    from learning_curve import SHARES, choose, unseen

    rows = table(clips)
    shares, tested = choose(rows), unseen(rows)
    assert [*shares] == [*SHARES]
    trainable = [row for row in rows if row["use"] != "test-only" and row["split"] == "train"]
    assert shares["none"] == []
    assert shares["all"] == trainable
    for smaller, larger in zip(shares.values(), [*shares.values()][1:], strict=False):
        assert all(row in larger for row in smaller)
    for name, share in shares.items():
        kept = {row["group"] for row in share}
        assert all(row in share for row in trainable if row["group"] in kept)
        assert not kept & {row["group"] for row in tested}
        for use in USES[:2]:
            total = len({row["group"] for row in trainable if row["use"] == use})
            of_use = sum(group.startswith(use) for group in kept)
            assert SHARES[name] * total <= of_use < SHARES[name] * total + 1
    assert all(float(row["duration_s"]) >= 2.5 for row in tested)


def test_rows_say_what_they_were_measured_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from learning_curve import origin

    monkeypatch.setenv("CAVSYNC_COMMIT", "abc1234")
    found = origin(1000)
    assert (found["steps"], found["seed"], found["commit"]) == (1000, 0, "abc1234")
    assert found["device"]
    assert found["torch"] == version("torch")
    assert datetime.fromisoformat(found["date"]).tzinfo == UTC
