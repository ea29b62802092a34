"""`embed`, `tag` and `locate`, killed at many moments, leave nothing half written, and a repeated command finishes."""

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from exported import lively_model
from fake_bundle import write_fake_bundle
from killed_command import start, status_of
from small_models import classifier_of
from sync_clips import make_audio, write_clip, write_clip_folder

from cavsync.atomic import remove_leftovers
from cavsync.data.sources.classes import ClassLabels
from cavsync.export import export_bundle
from cavsync.media.audio_file import write_pcm16
from cavsync.model.checkpoint import save_model

KILLS = 20
MOST_STARTS = 200
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
Command = Callable[[Path], list[object]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips in a folder, and one below it."""
    return write_clip_folder(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def commands(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Command]:
    """Each command with what it reads, by what it writes."""
    folder = tmp_path_factory.mktemp("killed")
    meter = write_fake_bundle(folder / "meter")
    torch.manual_seed(3)
    names = ["drum", "speech"]
    save_model(
        classifier_of(lively_model(), len(names)),
        folder / "run",
        0,
        train={"classify": {"mode": "multimodal", "target": "multi-label"}},
    )
    ClassLabels.of_names(names).write(folder / "run" / "class_labels.csv")
    export_bundle(folder / "run", folder / "classifier", calibration_clips=[])
    video = write_clip(folder / "long.mkv", seconds=40.0, tracks=("video",))
    with (folder / "sound.wav").open("wb") as stream:
        write_pcm16(stream, make_audio(11.0, 16_000 * 5))
    return {
        "embed": lambda out: ["embed", clips, "--out", out, "--model", meter],
        "tag": lambda out: ["tag", clips, "--out", out, "--model", folder / "classifier", "--frame-rate", 5],
        "locate": lambda out: ["locate", folder / "sound.wav", video, "--bundle", meter, "--json", out / "a.json"],
    }


def content(folder: Path) -> dict[str, bytes]:
    """The files by name; of arrays their values, because archives hold the time of their making."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[str(path.relative_to(folder))] = b"".join(arrays[name].tobytes() for name in arrays.files)
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.parametrize("name", ["embed", "tag", "locate"])
def test_kills_lose_nothing(name: str, commands: dict[str, Command], tmp_path: Path) -> None:
    """Whole files only after every kill, and in the end those of an undisturbed command and nothing else."""
    (tmp_path / "whole").mkdir()
    begin = time.monotonic()
    assert status_of(start(commands[name](tmp_path / "whole"))) == 0
    whole_seconds = time.monotonic() - begin
    wanted = content(tmp_path / "whole")
    assert len(wanted) == (1 if name == "locate" else 4)
    dice, killed, finished = random.Random(1), 0, 0
    out = tmp_path / "out"
    for turn in count():
        assert turn < MOST_STARTS
        out.mkdir(exist_ok=True)
        number = signal.SIGKILL if turn % 2 else signal.SIGTERM
        child = start(commands[name](out))
        if killed < KILLS:
            time.sleep(dice.uniform(0, 0.9 * whole_seconds))
            (child.kill if turn % 2 else child.terminate)()
        status = status_of(child)
        for path in out.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                assert content(out)[str(path.relative_to(out))] == wanted[str(path.relative_to(tmp_path / "out"))]
        if status == 0:
            if name == "locate":
                # Its answer is one file in a folder of the user's, in which nothing else is its own to delete.
                remove_leftovers(out)
            assert content(out) == wanted
            out.rename(tmp_path / f"finished{finished}")
            finished += 1
            if killed == KILLS:
                return
        else:
            assert status in (-number, 128 + number)
            killed += 1
