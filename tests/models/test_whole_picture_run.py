"""The training of the whole picture: in rounds while they pay, within a limited time, and only from usable clips."""

import csv
import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cavsync.data.synth import ClipSpec, generate


@pytest.fixture
def run(scripts_can_be_imported: None) -> ModuleType:
    """The script."""
    return importlib.import_module("whole_picture_run")


@pytest.fixture
def rounds(scripts_can_be_imported: None) -> ModuleType:
    """The rule of the rounds."""
    return importlib.import_module("rounds")


@pytest.mark.parametrize(
    ("steps", "losses", "next_end"),
    [
        (0, [], 2000),
        # Interrupted in the first round, and between its last checkpoint and its measurement.
        (750, [], 2000),
        (2000, [], 2000),
        # One round alone cannot be compared.
        (2000, [3.7], 3000),
        (2250, [3.7], 3000),
        (3000, [3.7, 3.6], 4500),
        (4500, [3.7, 3.6, 3.5], 6750),
        (6750, [3.7, 3.6, 3.5, 3.4], 10125),
        # No better, or by no more than a hundredth.
        (3000, [3.7, 3.7], None),
        (3000, [3.7, 3.8], None),
        (3000, [3.7, 3.7 * 0.991], None),
        (3000, [3.7, 3.7 * 0.989], 4500),
        (4500, [3.7, 3.0, 3.0], None),
        (3000, [3.7, math.inf], None),
        (3000, [math.inf, math.inf], None),
        (3000, [math.inf, 3.7], 4500),
    ],
)
def test_training_goes_on_while_rounds_pay(
    rounds: ModuleType, steps: int, losses: list[float], next_end: int | None
) -> None:
    done = tuple(rounds.Round(end, loss) for end, loss in zip((2000, 3000, 4500, 6750), losses, strict=False))
    assert rounds.Progress(steps, 10.0, done).next_end() == next_end


def test_a_run_that_was_begun_without_rounds_goes_on_in_the_next_one(rounds: ModuleType) -> None:
    assert rounds.Progress(3591, 66.0).next_end() == 4500


def write_run(path: Path, steps: int, minutes: float, records: list[dict[str, Any]]) -> None:
    """Write what the progress of a run is read from."""
    checkpoint = path / "checkpoints" / f"step-{steps}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "model.safetensors").touch()
    (checkpoint / "state.json").write_text(json.dumps({"step": steps, "elapsed_seconds": 60 * minutes}))
    with (path / "metrics.jsonl").open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records))


def measured(step: int, loss: float | None) -> dict[str, Any]:
    return {"step": step, "held_out_loss": loss, "held_out_accuracy": 0.1}


def test_progress_is_read_from_the_run(rounds: ModuleType, tmp_path: Path) -> None:
    assert rounds.Progress.read(tmp_path / "none") == rounds.Progress()
    run = tmp_path / "run"
    # The clock ended a session at step 2500; a measurement may be repeated.
    records = [{"step": 10, "loss": 3.7}, measured(2000, 3.5), measured(2000, 3.5), measured(2500, 3.4)]
    write_run(run, 2500, 45.0, records)
    (run / "metrics.jsonl").write_text((run / "metrics.jsonl").read_text() + '{"step": 26')
    found = rounds.Progress.read(run)
    assert found == rounds.Progress(2500, 45.0, (rounds.Round(2000, 3.5),))
    assert found.next_end() == 3000


def test_a_loss_that_is_not_finite_is_no_gain(rounds: ModuleType, tmp_path: Path) -> None:
    write_run(tmp_path, 3000, 50.0, [measured(2000, 3.5), measured(3000, None)])
    assert rounds.Progress.read(tmp_path).next_end() is None


LOSSES = {2000: 3.5, 3000: 3.4, 4500: 3.39}


@pytest.fixture
def trained(run: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were given; each trains at 100 steps a minute."""
    given: list[list[str]] = []

    def cavsync(*arguments: object) -> None:
        words = [str(argument) for argument in arguments]
        given.append(words)
        folder = Path(words[words.index("--out") + 1])
        end = int(words[words.index("--max-steps") + 1])
        most = float(words[words.index("--max-minutes") + 1])
        steps = min(end, round(100 * most))
        write_run(folder, steps, steps / 100, [measured(steps, LOSSES.get(steps, 3.45))])

    monkeypatch.setattr(run, "cavsync", cavsync)
    return given


def ends(commands: list[list[str]]) -> list[int]:
    return [int(words[words.index("--max-steps") + 1]) for words in commands]


def limited(run: ModuleType, minutes: float) -> Callable[[Any], float]:
    return lambda progress: run.minutes_left(minutes, None, 0.0, progress)


def test_rounds_are_trained_until_one_no_longer_pays(
    run: ModuleType, trained: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run.train(run.SYNC_TINY, tmp_path / "clips", tmp_path / "run", "cpu", limited(run, 240))
    assert ends(trained) == [2000, 3000, 4500]
    assert [round.held_out_loss for round in found.rounds] == [3.5, 3.4, 3.39]
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "2000 steps in 20 minutes: the loss on held-out clips is 3.5000",
        "3000 steps in 30 minutes: the loss on held-out clips is 3.4000, -2.9% against that after 2000",
        "4500 steps in 45 minutes: the loss on held-out clips is 3.3900, -0.3% against that after 3000",
        "training ended after 4500 steps and 45 minutes: the last round changed the loss on held-out clips by -0.3%, "
        "which is not enough",
    ]
    # A finished training is not begun again.
    assert run.train(run.SYNC_TINY, tmp_path / "clips", tmp_path / "run", "cpu", limited(run, 480)) == found
    assert len(trained) == 3


def test_the_clock_ends_the_training_in_whatever_round_it_is(
    run: ModuleType, trained: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = (run.SYNC_TINY, tmp_path / "clips", tmp_path / "run", "cpu")
    found = run.train(*where, limited(run, 25))
    assert (found.steps, found.minutes) == (2500, 25)
    assert [float(words[words.index("--max-minutes") + 1]) for words in trained] == [25.0, 25.0]
    assert "its time was over before there were two whole rounds" in capsys.readouterr().out
    # With no more time nothing is trained, with more the round goes on.
    assert run.train(*where, limited(run, 25)) == found
    assert ends(trained) == [2000, 3000]
    assert run.train(*where, limited(run, 32)).steps == 3200
    assert ends(trained) == [2000, 3000, 3000, 4500]
    assert "its time was over; the last whole round had changed the loss on held-out clips by -2.9%" in (
        capsys.readouterr().out
    )


@pytest.mark.slow
def test_a_real_run_is_read_and_resumed(
    run: ModuleType, rounds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds of one, two and three steps: what training writes is what is read of it."""
    clips = tmp_path / "clips"
    for seed, name in enumerate((*run.SYNC_TINY.trained_on, *run.SYNC_TINY.calibrated_on)):
        specs = [ClipSpec.from_text(f"drummer@1 seed={10 * seed + n} fps=25 duration_seconds=4") for n in range(2)]
        generate(clips / name, specs, workers=1)
    monkeypatch.setattr(rounds, "FIRST_STEPS", 1)
    where = (run.SYNC_TINY, clips, tmp_path / "run", "cpu")
    # Whether these steps pay is left to chance, so every round is said to.
    monkeypatch.setattr(rounds, "LEAST_GAIN", -1.0)
    waits = iter([60.0, 60.0, 0.0])
    first = run.train(*where, lambda _: next(waits))
    assert json.loads((tmp_path / "run" / run.VOICES_NAME).read_text()) == {"espeak-ng": 0, "synthetic": 0}
    assert [each.steps for each in first.rounds] == [1, 2]
    assert all(0 < each.held_out_loss < 2 * math.log(40) for each in first.rounds)
    assert 0 < first.minutes < 60
    again = run.train(*where, lambda progress: 60.0 if progress.steps < 3 else 0.0)
    assert [each.steps for each in again.rounds] == [1, 2, 3]
    assert again.rounds[:2] == first.rounds
    assert again.minutes > first.minutes


def test_all_bounds_hold(run: ModuleType, rounds: ModuleType) -> None:
    new, old = rounds.Progress(), rounds.Progress(500, 3.0)
    assert run.minutes_left(120.0, None, 3000.0, new) == 120.0
    assert run.minutes_left(120.0, None, 3000.0, old) == 117.0
    assert run.minutes_left(5.0, 8.0, 60.0, new) == 5.0
    assert run.minutes_left(5.0, 8.0, 60.0, old) == 2.0
    assert run.minutes_left(5.0, 8.0, 180.0, new) == pytest.approx(8 - 3 - run.RESERVE_MINUTES)
    assert run.minutes_left(5.0, 8.0, 600.0, old) < 0


def test_too_little_time_is_an_error(run: ModuleType, rounds: ModuleType) -> None:
    """Clips that were made are kept, so that the next call trains."""
    with pytest.raises(SystemExit, match="run this again"):
        run.minutes_left(5.0, 8.0, 450.0, rounds.Progress())


COLUMNS = ("path", "use", "split", "kind", "group", "source", "licence")


def write_real(folder: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> None:
    folder.mkdir()
    for row in rows:
        (folder / row["path"]).touch()
    with (folder / "manifest.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def real_clip(path: str, split: str, use: str = "train+test", group: str = "one") -> dict[str, str]:
    known = {"kind": "speech", "source": "a/b", "licence": "CC BY 4.0"}
    return {"path": path, "use": use, "split": split, "group": group, **known}


def test_real_clips_are_sorted_by_use_and_split(run: ModuleType, tmp_path: Path) -> None:
    footage = importlib.import_module("footage")
    research = [real_clip(f"{n}.mp4", "train", "research", f"group {n}") for n in range(3)]
    rows = [
        real_clip("a.mp4", "train"),
        real_clip("b.mp4", "held"),
        *research,
        real_clip("c.mp4", "held", "research", "other"),
        real_clip("d.mp4", "", "test-only"),
    ]
    write_real(tmp_path / "real", rows)
    footage.make_clips(tmp_path / "real", tmp_path / "clips", {})
    assert {str(path.relative_to(tmp_path / "clips")) for path in (tmp_path / "clips").rglob("*.mp4")} == {
        "talking/a.mp4",
        "held-out-talking/b.mp4",
        "held-out-research/0.mp4",
        "research/1.mp4",
        "research/2.mp4",
    }


@pytest.mark.parametrize("fault", ["no folder", "no column", "no file", "nothing to train on", "nothing held out"])
def test_unusable_footage_ends_all_before_a_clip_is_generated(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    rows = [real_clip("a.mp4", "train"), real_clip("b.mp4", "held")]
    rows = rows[1:] if fault == "nothing to train on" else rows[:1] if fault == "nothing held out" else rows
    if fault != "no folder":
        write_real(tmp_path / "real", rows, COLUMNS[:-1] if fault == "no column" else COLUMNS)
    if fault == "no file":
        (tmp_path / "real" / "b.mp4").unlink()
    monkeypatch.setattr(importlib.import_module("footage"), "cavsync", lambda *_: pytest.fail("generated"))
    words = ["whole_picture_run", "--real", str(tmp_path / "real"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    sentence = {
        "no folder": r"manifest.csv' cannot be read .*: name a folder",
        "no column": "has no column 'licence'",
        "no file": "names 'b.mp4', which is not there",
        "nothing to train on": "names no clip of use train.test whose split is train",
        "nothing held out": "names no clip of use train.test whose split is another",
    }
    with pytest.raises(SystemExit, match=sentence[fault]):
        run.main()
    assert not (tmp_path / "out").exists()
