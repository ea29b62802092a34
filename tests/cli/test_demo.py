"""The rounds of `cavsync demo`: when they end, how they go on after an interruption, and how long they are said to
take. Clips, training, checks, export and scoring are made up; test_main.py runs the real ones."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cavsync import __version__
from cavsync.cli import demo_rounds
from cavsync.cli.demo_rounds import Pace, rounds_left
from cavsync.cli.main import main
from cavsync.run import RunFolder
from cavsync.train.loop import RunResult
from cavsync.train.state import RunState

demo = importlib.import_module("cavsync.cli.demo")
GOES_ON = "the same command goes on from there"
SUMMARY = {
    **{"n": 0, "within_120_ms": 0.0, "median_error_ms": None, "undetermined": 0.0},
    "baseline_within_120_ms": {"motion_against_rise": 0.0, "motion_against_loudness": 0.0},
}


@dataclass
class MadeUp:
    """What the demo calls: `shares` are decided after so many steps, 0 where nothing is said; a `stop` maps a step to
    the signal that comes there."""

    out: Path
    shares: dict[int, float] = field(default_factory=dict)
    stop: dict[int, int] = field(default_factory=dict)
    trained: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each call: the step it began at, the one it reached, and the one it was to reach."""
    other: list[str] = field(default_factory=list)
    """The other calls, in order."""

    def run_training(
        self,
        _console: Any,
        _model: Any,
        config: Any,
        data: list[Path],
        run_dir: Path,
        *,
        resume: bool,
        on_step: Callable[[int], None],
    ) -> RunResult:
        assert (data, run_dir, resume) == ([self.out / "clips" / "train"], self.out / "run", True)
        begin = step = RunFolder(run_dir).latest_step() or 0
        number = None
        while step < config.max_steps and number is None:
            step += 1
            on_step(step)
            number = self.stop.pop(step, None)
        weights = RunFolder(run_dir).checkpoint(step).weights
        weights.parent.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(b"")
        self.trained.append((begin, step, config.max_steps))
        return RunResult(RunState(step, 0.4 * step), {}, number)

    def decided_share(self, run_dir: Path) -> float:
        step = RunFolder(run_dir).latest_step()
        assert step is not None
        self.other.append(f"check {step}")
        return self.shares.get(step, 0.0)


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    found = MadeUp(tmp_path / "demo")
    monkeypatch.setattr(demo, "_generate", lambda *_: found.other.append("generate"))
    monkeypatch.setattr(demo, "run_training", found.run_training)
    monkeypatch.setattr(demo, "_decided_share", found.decided_share)
    monkeypatch.setattr(demo, "_export", lambda *_: found.other.append("export"))
    monkeypatch.setattr(demo, "_score", lambda *_: found.other.append("score") or (SUMMARY, []))
    return found


def run(made_up: MadeUp, *words: str) -> Result:
    return CliRunner().invoke(main, ["demo", "--out", str(made_up.out), "--steps", "600", *words])


def succeeded(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def test_training_stops_once_enough_is_decided(made_up: MadeUp) -> None:
    made_up.shares = {600: 0.95}
    result = succeeded(run(made_up))
    assert made_up.trained == [(0, 600, 600)]
    assert made_up.other == ["generate", "check 600", "export", "score"]
    assert "95% of the held-out files and parts of them are decided after 600 steps\n" in result.stderr
    assert "this is less" not in result.stderr


def test_training_goes_on_by_halves(made_up: MadeUp) -> None:
    made_up.shares = {600: 0.5, 900: 0.9499, 1200: 0.96}
    result = succeeded(run(made_up))
    assert made_up.trained == [(0, 600, 600), (600, 900, 900), (900, 1200, 1200)]
    assert "50% of the held-out files and parts of them are decided after 600 steps, going on to 900" in result.stderr
    assert "96% of the held-out files and parts of them are decided after 1200 steps\n" in result.stderr
    assert "this is less" not in result.stderr


def test_training_ends_after_three_times_the_steps(made_up: MadeUp) -> None:
    """An odd number of steps is rounded up by half a step; the rest of the demo follows all the same."""
    result = succeeded(run(made_up, "--steps", "101"))
    assert [reached for _, reached, _ in made_up.trained] == [101, 152, 202, 253, 303]
    assert "0% of the held-out files and parts of them are decided after 303 steps\n" in result.stderr
    assert "this is less than 95%" in result.stderr
    assert made_up.other[-2:] == ["export", "score"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_goes_on_in_its_round(made_up: MadeUp, number: int, status: int) -> None:
    made_up.shares, made_up.stop = {600: 0.5, 900: 1.0}, {700: number}
    result = run(made_up)
    assert result.exit_code == status
    assert result.stderr.splitlines()[-1] == f"stopped at step 700; {GOES_ON}"
    assert made_up.other == ["generate", "check 600"]
    succeeded(run(made_up))
    # Neither the first round nor the check at its end is repeated.
    assert made_up.trained == [(0, 600, 600), (600, 700, 900), (700, 900, 900)]
    assert made_up.other == ["generate", "check 600", "generate", "check 900", "export", "score"]


def test_a_demo_interrupted_in_its_first_round(made_up: MadeUp) -> None:
    made_up.shares, made_up.stop = {600: 1.0}, {1: signal.SIGTERM}
    assert run(made_up).exit_code == 143
    succeeded(run(made_up))
    assert made_up.trained == [(0, 1, 600), (1, 600, 600)]


def test_a_demo_killed_before_a_check_makes_it(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception): ...

    def killed(_: Path) -> float:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_decided_share", killed)
        assert isinstance(run(made_up).exception, KilledError)
    made_up.shares = {900: 1.0}
    result = succeeded(run(made_up))
    assert made_up.trained == [(0, 600, 600), (600, 600, 600), (600, 900, 900)]
    # A step took 0.4 s in the session before, all that is known: 300 of them.
    assert "after 600 steps, going on to 900 steps: about 2 min more at this speed, 8 min if it takes all 1800" in (
        result.stderr
    )


def test_a_finished_demo_trains_no_more(made_up: MadeUp) -> None:
    made_up.shares = {600: 0.2, 900: 0.99}
    first = succeeded(run(made_up))
    again = succeeded(run(made_up))
    assert made_up.trained[2:] == [(900, 900, 900)]
    assert made_up.other[5:] == ["generate", "check 900", "export", "score"]
    assert again.stdout.splitlines()[:-7] == first.stdout.splitlines()[:-7]


def test_a_demo_that_never_decides_enough_ends_when_run_again(made_up: MadeUp) -> None:
    succeeded(run(made_up, "--steps", "2"))
    assert "this is less than 95%" in succeeded(run(made_up, "--steps", "2")).stderr
    assert made_up.trained[-1] == (6, 6, 6)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("stage", ["_generate", "_decided_share", "_export", "_score"])
def test_a_signal_in_any_stage(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, stage: str, number: int, status: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(demo, stage, lambda *_: os.kill(os.getpid(), number))
        result = run(made_up)
    assert result.exit_code == status
    assert result.stderr.splitlines()[-1] == f"interrupted: {GOES_ON}"
    made_up.shares = {600: 1.0}
    succeeded(run(made_up))


@pytest.mark.parametrize("option", [("--clips", "21"), ("--test-clips", "3"), ("--steps", "601"), ("--seed", "1")])
def test_other_settings_are_refused(made_up: MadeUp, option: tuple[str, str]) -> None:
    made_up.shares = {600: 1.0}
    succeeded(run(made_up, "--clips", "20"))
    before = list(made_up.other)
    result = run(made_up, "--clips", "20", *option)
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {made_up.out} holds a demo with other settings: choose another --out, or delete it.\n"
    )
    assert made_up.other == before


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, "an earlier cavsync"),
        ({"cavsync": "0.0.9", "generator": 1}, "cavsync 0.0.9 (clip generator 1)"),
        ({"cavsync": __version__, "generator": 0}, f"cavsync {__version__} (clip generator 0)"),
        ({"cavsync": ["\x1b[31m"], "generator": None}, "(clip generator None)"),
    ],
)
def test_a_demo_of_another_version_is_refused(made_up: MadeUp, versions: dict[str, Any], words: str) -> None:
    """Its clips, or what its model is, may have changed; demos of the first version do not say which wrote them."""
    made_up.shares = {600: 1.0}
    succeeded(run(made_up))
    path = made_up.out / "demo.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({name: stored[name] for name in ("clips", "test_clips", "steps", "seed")} | versions))
    result = run(made_up)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {made_up.out} holds a demo of ")
    assert words in line
    assert f"cavsync {__version__}" in line
    assert line.endswith("choose another --out, or delete it.")
    assert line.isprintable()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00"])
def test_a_damaged_settings_file_is_refused(made_up: MadeUp, text: str) -> None:
    made_up.out.mkdir()
    (made_up.out / "demo.json").write_text(text)
    result = run(made_up)
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {made_up.out / 'demo.json'} does not hold the settings of a demo: choose another --out, "
        "or delete the folder.\n"
    )
    assert made_up.other == []


def test_a_folder_of_something_else_is_refused(made_up: MadeUp) -> None:
    made_up.out.mkdir()
    (made_up.out / "mine.txt").write_text("")
    result = run(made_up)
    assert result.exit_code == 2
    assert "is not an empty folder" in result.stderr
    assert [path.name for path in made_up.out.iterdir()] == ["mine.txt"]


@given(steps=st.integers(1, 5000), begun=st.integers(0, 20_000))
def test_rounds(steps: int, begun: int) -> None:
    everything, left = rounds_left(steps, 0), rounds_left(steps, begun)
    assert (everything[0], everything[-1]) == (steps, 3 * steps)
    assert all(0 < 2 * (after - before) <= steps + 1 for before, after in itertools.pairwise(everything))
    assert left == [end for end in everything if end >= begun] or (begun > 3 * steps and left == [3 * steps])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr(demo_rounds, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def train(pace: Pace, clock: list[float], begin: int, end: int, step_seconds: float) -> None:
    """Decode clips for 30 s, train, and check for 60 s."""
    clock[0] += 30
    for step in range(begin + 1, end + 1):
        clock[0] += step_seconds
        pace.step(step)
    clock[0] += 60
    pace.end_round(run_step_seconds=step_seconds)


def test_the_time_left_is_told_once_it_is_known(clock: list[float]) -> None:
    """600 steps of half a second: 579 of them are left when 20 have been timed, and 1,779 of all 1,800. A later round
    of 300 steps takes 240 s with decoding and checking, four of them 16 min."""
    said: list[str] = []
    pace = Pace(rounds_left(600, 0), said.append)
    train(pace, clock, 0, 600, step_seconds=0.5)
    assert said == ["about 5 min more to step 600 at this speed, 15 min to step 1800 if it takes them all"]
    assert pace.going_on() == "going on to 900 steps: about 4 min more at this speed, 16 min if it takes all 1800"
    # Now the machine is busy: the 300 steps of a round take 9.5 min instead of 2.5, and 1.5 besides.
    train(pace, clock, 600, 900, step_seconds=1.9)
    assert pace.going_on() == "going on to 1200 steps: about 11 min more at this speed, 33 min if it takes all 1800"
    train(pace, clock, 900, 1200, step_seconds=0.5)
    train(pace, clock, 1200, 1500, step_seconds=0.5)
    assert pace.going_on() == "going on to 1800 steps: about 4 min more at this speed"
    assert len(said) == 1


def test_the_time_left_of_a_resumed_last_round(clock: list[float]) -> None:
    said: list[str] = []
    pace = Pace(rounds_left(600, 1600), said.append)
    train(pace, clock, 1600, 1800, step_seconds=2.0)
    assert said == ["about 6 min more to step 1800 at this speed"]


def test_nothing_is_told_of_a_round_that_is_too_short(clock: list[float]) -> None:
    said: list[str] = []
    pace = Pace(rounds_left(8, 0), said.append)
    train(pace, clock, 0, 8, step_seconds=0.5)
    assert said == []
    assert pace.going_on() == "going on to 12 steps: about 2 min more at this speed, 6 min if it takes all 24"
