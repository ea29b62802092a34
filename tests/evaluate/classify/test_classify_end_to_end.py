"""From generated clips to figures, by the commands alone: short fine-tuning and probing beat chance."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from generated_clips import make_clips

from cavsync.cli.main import main
from cavsync.evaluate.results.result import EvalResult, read_result

pytestmark = pytest.mark.slow

FAMILIES = ("impacts", "drummer", "keys", "face")
CHANCE = 1 / len(FAMILIES)
QUICK = ("workers=0", "precision=32-true", "batch_clips=8", "schedule=cosine", "ignore_other_labels=true")


def cavsync(*arguments: str | Path) -> None:
    """Run a command; it has to succeed."""
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


def sets(*values: str) -> list[str]:
    """`--set` for each."""
    return [part for value in values for part in ("--set", value)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips to train on, twenty-four others to test on, the families, and a short pretraining."""
    folder = tmp_path_factory.mktemp("classify")
    make_clips(folder / "train", 40, seed=5)
    make_clips(folder / "test", 24, seed=6)
    rows = "".join(f"{n},/f/{n},{name}\n" for n, name in enumerate(FAMILIES))
    (folder / "families.csv").write_text("index,mid,display_name\n" + rows)
    options = sets("workers=0", "precision=32-true", "batch_clips=8")
    names = ("--preset", "debug", "--data", folder / "train", "--out", folder / "pretrained")
    cavsync("train", *names, "--max-steps", "60", *options)
    return folder


def trained_and_tested(folder: Path, name: str, steps: int, *options: str, modes: tuple[str, ...] = ()) -> EvalResult:
    """A run of a preset from the pretrained model, and its figures on the other clips."""
    run = folder / f"{name}-run"
    cavsync("train", "--preset", name, "--data", folder / "train", "--labels", folder / "families.csv", "--out", run,
            "--max-steps", str(steps),
            *sets(f"init_from={folder / 'pretrained'}", "cache_clips=true", *QUICK, *options))  # fmt: skip
    out = folder / f"{name}.json"
    chosen = [part for mode in modes for part in ("--mode", mode)]
    cavsync("eval", "classify", folder / "test", "--model", run, "--frames", "4", "--ignore-other-labels",
            "--json", out, *chosen)  # fmt: skip
    return read_result(out)


def test_fine_tuning_beats_chance(folder: Path) -> None:
    """Four families, so a quarter by chance: 30 points more of clips never seen, 40 more of mAP, and 30 more where the
    audio is missing."""
    modes = ("multimodal", "missing-audio")
    result = trained_and_tested(
        folder, "finetune-vggsound", 200, "learning_rate=1e-3", "average_from_epoch=20", "time_shift_frames=0",
        modes=modes,
    )  # fmt: skip
    values = {name: metric.value or 0.0 for name, metric in result.metrics.items()}
    assert values["multimodal/accuracy"] >= CHANCE + 0.3
    assert values["multimodal/map"] >= CHANCE + 0.4
    assert values["missing-audio/map"] >= CHANCE + 0.3


def test_probing_beats_chance(folder: Path) -> None:
    """An attention head, then the published probe, on an encoder that saw forty clips for some seconds: 30 points above
    chance, 40 of mAP."""
    for options in (("head=attention", "instants_per_clip=1", "learning_rate=5e-3"), ("instants_per_clip=4",)):
        result = trained_and_tested(folder, "probe", 200, "target=single-label", *options)
        values = {name: metric.value or 0.0 for name, metric in result.metrics.items()}
        assert values["accuracy"] >= CHANCE + 0.3
        assert values["map"] >= CHANCE + 0.4
        shutil.rmtree(folder / "probe-run")
        (folder / "probe.json").unlink()
