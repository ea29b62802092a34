"""The tables of the model cards show every bundle that was measured."""

from __future__ import annotations

from typing import Any


def share(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": 0.0, "high": mean + 0.04}


def test_decisions_on_another_sound_are_listed_for_bundles_with_and_without_a_face_path() -> None:
    from face_card import control_table

    found: dict[str, Any] = {
        "sync-tiny": {"clips": 82, "decided": share(0.01), "confidence_p50": 0.413},
        "shipped-before, whole": {"clips": 82, "decided": share(0.0), "confidence_p50": 0.2},
        "random-weights": {"clips": 80, "decided": share(0.0), "confidence_p50": None},
    }
    rows = [line for line in control_table({"wrong_sound": found}) if line.startswith("| ")][1:]
    assert rows == [
        "| sync-tiny | 82 | 1 (0-5) | 0.41 |",
        "| shipped-before, whole | 82 | 0 (0-4) | 0.20 |",
        "| random-weights | 80 | 0 (0-4) | - |",
    ]


def test_no_table_where_no_other_sound_was_tried() -> None:
    from face_card import control_table

    assert list(control_table({"wrong_sound": {}})) == []


def test_footage_is_listed_by_repository() -> None:
    from whole_picture_card import footage

    clips = [{"source": "b/two", "licence": "MIT"}, {"source": "a/one", "licence": "CC BY 4.0"}] * 2
    assert footage(clips).splitlines()[-2:] == ["| a/one | 2 | CC BY 4.0 |", "| b/two | 2 | MIT |"]


SHIFTS = ("50.0", "100.0")


def figures(within: float, decided: float, right: float | None, two_choice: float) -> dict[str, Any]:
    empty = {"mean": None, "low": None, "high": None}
    found = {"within_100_ms": share(within), "decided": share(decided)}
    found["right_among_decided"] = empty if right is None else share(right)
    choices = {shift: {"mean": two_choice, "low": two_choice - 0.05, "high": two_choice + 0.05} for shift in SHIFTS}
    return {"raw": {"all": found | {"two_choice": choices}}}


def goal_verdicts(bundle: dict[str, Any], impacts: dict[str, Any], level: float) -> list[str]:
    from whole_picture_card import goals

    methods = {"sync-research": bundle, "motion against loudness": figures(0.3, 0, None, level)}
    kinds = {"all": {"clips": 87, "methods": methods}, "impact": {"clips": 14, "methods": {"sync-research": impacts}}}
    rows = [line for line in goals("sync-research", {"kinds": kinds}).splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 4 + len(SHIFTS)
    return [row.split(" | ")[-1].removesuffix(" |") for row in rows]


def test_the_card_says_which_goals_are_missed() -> None:
    reached, missed = "reached", "missed"
    good, bad = figures(0.5, 0.25, 0.9, 0.8), figures(0.48, 0.24, 0.86, 0.75)
    assert goal_verdicts(good, figures(0.6, 0, None, 0.5), 0.69) == [reached] * 6
    assert goal_verdicts(bad, figures(0.33, 0, None, 0.5), 0.69) == [missed] * 6
    # Level with the baseline, though a little above it, and nothing decided.
    nothing = figures(0.5, 0.0, None, 0.75)
    assert goal_verdicts(nothing, figures(0.6, 0, None, 0.5), 0.7) == [reached, reached, missed, missed, missed, missed]


def test_the_card_says_how_it_was_trained() -> None:
    from rounds import Progress, Round
    from whole_picture_card import made_with

    paid = Progress(4500, 95.4, (Round(2000, 3.5), Round(3000, 3.4), Round(4500, 3.39)))
    text = made_with("sync-tiny", paid, {"espeak-ng": 21, "synthetic": 59})
    assert "4,500 steps in 95 minutes, in rounds" in text
    assert "because the last round changed the loss on held-out clips by -0.3%, which is not enough." in text
    assert "espeak-ng speaks in 21 of 80 clips with voices, a formant synthesiser in 59." in text
    assert text.splitlines()[-3:] == ["| 2,000 | 3.5000 |", "| 3,000 | 3.4000 |", "| 4,500 | 3.3900 |"]
    short = made_with("sync-tiny", Progress(3, 1.0), None)
    assert "because its time was over before there were two whole rounds to compare." in short
    assert "it was not noted which voices they have" in short
    assert "|" not in short
