"""`tag`, `locate` and `embed` on real clips, whatever their container, rates and length."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from exported import lively_model
from numpy.typing import NDArray
from shared_folder import shared_folder
from small_models import classifier_of
from sync_clips import write_clip

from cavsync.cli.main import main
from cavsync.data.clip import load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.sources.classes import ClassLabels
from cavsync.media.audio_file import write_pcm16
from cavsync.model.checkpoint import save_model

pytestmark = pytest.mark.shared
SIDE_PX = 112
SCENE_SECONDS = 6.0
NUM_SCENES, NUM_FOREIGN = 14, 3


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [*map(str, arguments)])


def real_clips() -> list[dict[str, str]]:
    """The rows of the clips, each with its path on this machine."""
    folder = shared_folder("data")
    with (folder / "manifest.csv").open(encoding="utf-8") as table:
        return [{**row, "file": str(folder / row["path"])} for row in csv.DictReader(table)]


def one_of_each() -> list[dict[str, str]]:
    """The shortest clip of each container, with each rate of audio."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in sorted(real_clips(), key=lambda row: float(row["duration_s"])):
        found.setdefault((Path(row["path"]).suffix, row["audio_rate"]), row)
    return [*found.values()]


def test_every_kind_of_clip_is_tagged_and_embedded(tmp_path: Path) -> None:
    """Windows without a gap over the length of each clip, likely classes only, and embeddings of unit length."""
    torch.manual_seed(3)
    names = ["drum", "bell", "speech"]
    train = {"classify": {"mode": "multimodal", "target": "single-label"}}
    save_model(classifier_of(lively_model(), len(names)), tmp_path / "run", 0, train=train)
    ClassLabels.of_names(names).write(tmp_path / "run" / "class_labels.csv")
    chosen = one_of_each()
    assert len(chosen) >= 5
    files = [row["file"] for row in chosen]
    options = ("--model", tmp_path / "run", "--min-probability", 0)
    assert run("tag", *files, "--out", tmp_path / "tags", *options).exit_code == 0
    assert run("embed", *files, "--out", tmp_path / "features", "--frame-rate", 5).exit_code == 0
    for row in chosen:
        name = Path(row["file"]).name
        lines = (tmp_path / "tags" / f"{name}.jsonl").read_text("utf-8").splitlines()
        *windows, whole = [json.loads(line) for line in lines]
        starts = [window["start_seconds"] for window in windows]
        assert starts == [*range(len(windows))]
        assert abs(starts[-1] - float(row["duration_s"])) < 1.5
        for window in (*windows, whole):
            assert sum(found["probability"] for found in window["classes"]) == pytest.approx(1, abs=1e-4)
        with np.load(tmp_path / "features" / f"{name}.npz") as found:
            assert (np.diff(found["times_seconds"]) > 0.15).all()
            np.testing.assert_allclose(np.linalg.norm(found["visual"], axis=1), 1, atol=1e-4)
            heard = found["audio"][np.isfinite(found["audio"]).all(axis=1)]
            assert len(heard)
            np.testing.assert_allclose(np.linalg.norm(heard, axis=1), 1, atol=1e-4)


def scene(path: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The first seconds of a clip as frames at 25 Hz, and its sound; None for one that is shorter."""
    clip = load_clip(path, SIDE_PX)
    assert isinstance(clip.audio, Waveform)
    wanted = np.arange(round(SCENE_SECONDS * 25)) / 25
    first = max(0, round(-clip.audio_start_seconds * 16_000))
    samples = clip.audio.samples[first : first + round(SCENE_SECONDS * 16_000)]
    if clip.pts_seconds[-1] < SCENE_SECONDS or len(samples) < SCENE_SECONDS * 16_000:
        return None
    nearest = np.abs(clip.pts_seconds[:, None] - wanted).argmin(axis=0)
    return clip.frames[nearest].transpose(0, 2, 3, 1), samples


def test_sounds_of_real_scenes_are_found_where_they_belong_or_not_at_all(tmp_path: Path) -> None:
    """Scenes in a row: no sound is placed elsewhere, and none that belongs to no scene is placed."""
    scenes = []
    for row in real_clips():
        if float(row["duration_s"]) > SCENE_SECONDS + 0.5 and (found := scene(row["file"])) is not None:
            scenes.append(found)
        if len(scenes) == NUM_SCENES + NUM_FOREIGN:
            break
    assert len(scenes) == NUM_SCENES + NUM_FOREIGN
    frames = np.concatenate([frames for frames, _ in scenes[:NUM_SCENES]])
    video = write_clip(tmp_path / "long.mp4", frames=frames, tracks=("video",))
    for number in (*range(0, NUM_SCENES, 3), *range(NUM_SCENES, NUM_SCENES + NUM_FOREIGN)):
        sound = tmp_path / f"{number}.wav"
        with sound.open("wb") as stream:
            write_pcm16(stream, scenes[number][1])
        result = run("locate", sound, video, "--json", tmp_path / "out.json")
        assert result.exit_code == 0, result.output
        answer = json.loads((tmp_path / "out.json").read_text("utf-8"))
        assert len(answer["places"]) == 5
        if answer["state"] == "found":
            assert number < NUM_SCENES
            assert answer["places"][0]["video_seconds"] == pytest.approx(number * SCENE_SECONDS, abs=0.2)
        else:
            assert answer["reason"]
