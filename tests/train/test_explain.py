"""What `--explain` says, against sums done by hand and the model, the split and the loop that it describes."""

import json
from typing import Any

import click
import pytest
import torch
from click.testing import CliRunner

from cavsync.cli.options import key_values
from cavsync.cli.train_explain import explain_options, show_explanation
from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync
from cavsync.train import PRESETS, override, preset
from cavsync.train.explain import PEAK_TFLOPS, Explanation, explain
from cavsync.train.schedule import learning_rate
from cavsync.train.split import split


def explained(name: str, gpus: int | None = None, clips: int = 183_727, **values: Any) -> Explanation:
    """The explanation of a preset with changes."""
    return explain(*override(*preset(name), values), gpus, clips=clips)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "sync-face"])
def test_every_preset_can_be_explained_as_json(name: str) -> None:
    """Every field is a plain JSON value, and all options of all records are there once."""
    found = explained(name)
    assert json.loads(json.dumps(found.to_dict()))["preset"] == name
    model, train = preset(name)
    options = {option.name: option for option in (*found.model, *found.train)}
    assert len(options) == len(found.model) + len(found.train)
    parts = [part for part in (train.augmentation, train.classify) if part is not None]
    records = model.model_dump() | train.model_dump(exclude={"augmentation", *(["classify"] if train.classify else [])})
    for part in parts:
        records |= part.model_dump()
    assert options.keys() == records.keys()
    assert {key: json.dumps(option.value) for key, option in options.items()} == {
        key: json.dumps(value) for key, value in records.items()
    }


def test_every_option_has_a_meaning() -> None:
    """Also in the table, where a sentence must do."""
    for name in ("cav-mae-sync-base", "probe"):
        found = explained(name)
        assert [option.name for option in (*found.model, *found.train) if len(option.meaning) < 15] == []
    shown = CliRunner().invoke(command, ["--explain", "debug"], catch_exceptions=False).output
    (line,) = [line for line in shown.splitlines() if " held_out_share " in line]
    assert "Share of the clips that is not trained on: they measure the run" in line


def test_options_that_differ_are_marked() -> None:
    """Those of the recipe and those that were set; the augmentation's too."""
    found = explained("cav-mae-scale+", learning_rate=3e-4, mirror=0.5)
    marked = {option.name: (option.value, option.default) for option in (*found.model, *found.train) if option.differs}
    assert marked.keys() == {
        *("audio_length", "num_register_tokens", "cls_token", "norm_pix_loss", "preset", "batch_clips", "mirror"),
        *("learning_rate", "held_out_share", "feature_noise", "time_shift_frames"),
    }
    assert marked["learning_rate"] == (3e-4, 5e-5)
    assert marked["mirror"] == (0.5, 0.0)


def test_parameters_and_memory() -> None:
    """Four bytes for each weight, and for gradient and two moments of the trained ones; FSDP deals them out."""
    model = CAVMAESync(preset("debug")[0])
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    found = explained("debug")
    assert sum(count.total for count in found.parameters.values()) == total
    assert found.memory.total == 4 * total + 4 * 3 * trained
    assert explained("debug", ema_decay=0.999).memory.total == found.memory.total + 4 * total
    sharded = explained("debug", gpus=4, strategy="fsdp").memory.total
    assert sharded == pytest.approx(found.memory.total / 4, abs=4)
    assert explained("debug", gpus=4, strategy="ddp").memory.total == found.memory.total


@pytest.mark.parametrize("clips", [2, 7, 100, 1234])
def test_steps_are_those_of_the_loop(clips: int) -> None:
    """Clips are held out as the split does, small sets make small batches, and epochs add up."""
    train = preset("cav-mae-base")[1]
    found = explained("cav-mae-base", clips=clips).schedule
    kept, held_out = split(clips, train.held_out_share, train.seed)
    assert (found.training_clips, found.held_out_clips) == (len(kept), len(held_out))
    assert found.batch_clips == min(48, len(kept))
    assert found.steps_per_epoch == len(kept) / found.batch_clips
    assert 0 <= found.steps - 25 * found.steps_per_epoch < 1
    assert [epoch.epoch for epoch in found.epochs] == list(range(1, 26))


def test_rates_are_those_of_the_schedule() -> None:
    """Each step of a short run lies in one epoch, between whose rates its own is."""
    for values in ({}, {"schedule": "cosine", "warmup_steps": 3, "epochs": 7}):
        _, train = override(*preset("cav-mae-base"), values)
        found = explained("cav-mae-base", clips=1000, **values).schedule
        firsts = [epoch.first_step for epoch in found.epochs]
        assert firsts[0] == 0
        for epoch, after in zip(found.epochs, [*firsts[1:], found.steps], strict=True):
            for step, rate in ((epoch.first_step, epoch.first_rate), (after - 1, epoch.last_rate)):
                progress = step / found.steps
                assert rate == learning_rate(train, step, steps_per_epoch=found.steps_per_epoch, progress=progress)
    constant = explained("vggsound-continuation").schedule.epochs
    assert {rate for epoch in constant for rate in (epoch.first_rate, epoch.last_rate)} == {5e-5}


def test_time_is_pairs_times_operations_over_rate() -> None:
    """By hand for one GPU; half the time on twice as many, and at twice the utilisation."""
    model, train = preset("sync-base")
    one = explain(model, train, 1, clips=100_000, utilisation=0.35)
    pairs = one.schedule.steps * 64 * 24
    assert one.schedule.pairs == pairs
    for time in one.times:
        assert time.peak_tflops == PEAK_TFLOPS[time.gpu]
        assert time.hours == pytest.approx(pairs * one.costs.training / (time.peak_tflops * 1e12 * 0.35) / 3600)
    for other in (
        explain(model, train, 2, clips=100_000, utilisation=0.35),
        explain(model, train, 1, clips=100_000, utilisation=0.7),
    ):
        assert [2 * time.hours for time in other.times] == pytest.approx([time.hours for time in one.times])


def test_training_costs_three_forwards_or_nearly_four() -> None:
    """Activation checkpointing computes the blocks a second time, all but their last product."""
    plain = explained("sync-base", activation_checkpointing=False).costs
    again = explained("sync-base").costs
    # Patch embeddings take no gradient of their inputs.
    assert 2.9 * plain.forward < plain.training < 3 * plain.forward
    assert 3.6 * again.forward < again.training < 4 * again.forward
    assert plain.forward == plain.audio + plain.visual + plain.joint + plain.decoder


def test_notes_say_what_the_numbers_do_not() -> None:
    """Where the run starts from, batches that cannot be divided, split negatives; and that nothing was measured."""
    assert "random weights" in " ".join(explained("cav-mae-base").notes)
    assert "cav-mae-scale++.pth" in " ".join(explained("vggsound-continuation").notes)
    assert "a multiple of 8 can" in " ".join(explained("cav-mae-scale+", gpus=8).notes)
    assert "not exported: for that pass" in " ".join(explained("probe").notes)
    assert "not exported" not in " ".join(explained("probe", head="linear", instants_per_clip=1).notes)
    assert "12 pairs at a time" in " ".join(explained("cav-mae-base", gradient_accumulation=4).notes)
    assert "at a time" not in " ".join(explained("sync-base", gradient_accumulation=4).notes)
    assert "not a measurement" in explained("debug").caveat


@pytest.mark.parametrize(
    "values", [{"gpus": 0}, {"clips": 0}, {"utilisation": 0.0}, {"utilisation": 1.5}, {"clips": 1}]
)
def test_bad_numbers_are_refused(values: dict[str, Any]) -> None:
    """With a sentence; also a data set that is too small for the GPUs."""
    with pytest.raises(ConfigError, match=r"expected at least one|state more clips"):
        explain(*preset("debug"), **{"gpus": 2, **values})


@click.command()
@click.option("--set", "values", multiple=True, callback=key_values)
@explain_options
def command(values: dict[str, Any], explained: str, **rest: Any) -> None:
    """As `cavsync train` passes them on."""
    show_explanation(explained, values, **rest)


def test_tables_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables show what the JSON holds; the JSON is the explanation."""
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["--explain", "cav-mae-sync-base", "--gpus", "4", "--clips", "5000", "--set", "batch_clips=96"]
    shown = CliRunner().invoke(command, arguments, catch_exceptions=False)
    for text in (
        "batch_clips",
        "190.66",
        "190.14",
        "75.0",
        "4 GPUs at 35%",
        "H200",
        "not a measurement",
        "5,000 clips",
    ):
        assert text in shown.output
    lines = [line for line in shown.output.splitlines() if "*" in line and "batch_clips" in line]
    assert len(lines) == 1
    assert "96" in lines[0]
    assert "48" in lines[0]
    raw = CliRunner().invoke(command, [*arguments, "--utilisation", "0.5", "--json"], catch_exceptions=False)
    wanted = explain(*override(*preset("cav-mae-sync-base"), {"batch_clips": 96}), 4, clips=5000, utilisation=0.5)
    assert json.loads(raw.output) == json.loads(json.dumps(wanted.to_dict()))


def test_nothing_is_touched() -> None:
    """No random number is drawn; long runs do not fill the screen."""
    before = torch.get_rng_state()
    explained("debug")
    assert torch.equal(before, torch.get_rng_state())
    shown = CliRunner().invoke(command, ["--explain", "sync-tiny", "--clips", "20"], catch_exceptions=False)
    assert len(shown.output.splitlines()) < 180
