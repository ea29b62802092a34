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
