"""Runs of the face model: they learn, resume exactly, measure the footage's offsets, and are told from others."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from small_models import small_model
from talking_clips import open_finder, syllables, write_talking_clip, write_talking_clips

from cavsync.cli.main import main
from cavsync.data.faces.footage_offsets import FaceOffsets
from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.model.checkpoint import load_face, load_model, save_model
from cavsync.model.load import load_any
from cavsync.run import Run, RunConfig, RunFolder
from cavsync.train import RunResult, TrainConfig, Trainer, override, preset
from cavsync.train.averaging import write_average

SMALL: dict[str, Any] = {
    "accelerator": "cpu",
    "precision": "32-true",
    "workers": 0,
    "max_steps": 6,
    "batch_clips": 3,
    "log_every_steps": 1,
    "embed_dim": 16,
    "landmark_members": 2,
    "width": 8,
    "mouth_channels": (2, 2, 4),
    "mouth_width": 4,
}


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips of 2.6 s, and one without a face."""
    folder = write_talking_clips(tmp_path_factory.mktemp("talking"), 6)
    write_talking_clip(folder / "dark.mkv", syllables(1), dark_seconds=(0.0, 9.0))
    return folder


def trainer(run_dir: Path, **values: Any) -> Trainer:
    values = {"max_rejected_share": 0.2, **SMALL, **values}
    return Trainer(*override(*preset("sync-face"), values), run_dir, open_finder=open_finder)


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_face(run_dir).state_dict()


def assert_same_weights(first: Path, second: Path) -> None:
    wanted = weights(second)
    for name, value in weights(first).items():
        assert torch.equal(value, wanted[name]), name


@pytest.fixture(scope="module")
def finished(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    return run_dir, trainer(run_dir).run(talking)


def test_a_run_leaves_what_is_promised(finished: tuple[Path, RunResult], talking: Path) -> None:
    """Weights with the spread of the landmarks, offsets, held-out clips, metrics; the dark clip is counted."""
    run_dir, result = finished
    assert {"loss", "accuracy", "scale", "held_out_loss", "held_out_accuracy"} <= set(result.metrics)
    assert result.metrics["rejected_clips"] == 1
    model = load_face(run_dir)
    assert (model.landmark_spread > 0).all()
    assert not torch.equal(model.landmark_mean, torch.zeros_like(model.landmark_mean))
    assert len(list(RunFolder(run_dir).faces.iterdir())) == 7
    (held_out,) = Run.open(run_dir).held_out_clips()
    assert held_out.parent == talking.resolve()
    offsets = FaceOffsets.read(RunFolder(run_dir).face_offsets_file)
    assert offsets is not None
    assert (offsets.step, list(offsets.groups)) == (2, [talking.name])
    assert offsets.groups[talking.name].clips == 5


def test_a_face_run_says_so_and_others_do_not(finished: tuple[Path, RunResult], talking: Path) -> None:
    """config.json names the kind; files of other runs have neither it nor the options of faces."""
    run_dir = finished[0]
    stored = RunConfig.read(RunFolder(run_dir).config_file)
    assert stored.kind == "face"
    assert stored.to_text() == RunFolder(run_dir).config_file.read_text(encoding="utf-8")
    other = RunConfig(model={}, train=TrainConfig().model_dump(mode="json"))
    assert not {"kind", "face", "face_cache"} & {*json.loads(other.to_text()), *(other.train or {})}
    for load in (load_any, load_model):
        with pytest.raises(CheckpointError, match="holds a face model"):
            load(run_dir)
    out, data = str(run_dir / "x"), ["--data", str(talking)]
    for command in (
        *(["eval", task, str(talking), "--model", str(run_dir)] for task in ("sync", "retrieval", "inpaint")),
        ["train", "--explain", "sync-face"],
        *(
            ["train", "--preset", name, *data, "--out", out, "--set", f"init_from={run_dir}"]
            for name in ("probe", "debug")
        ),
    ):
        found = CliRunner().invoke(main, command)
        assert found.exit_code in (1, 2), (command, found.output)
        assert "face model" in found.output, (command, found.output)


def test_resume_is_exact(finished: tuple[Path, RunResult], talking: Path, tmp_path: Path) -> None:
    """Stopped before and after the offsets were measured, and continued: the same weights, batch for batch."""
    for number, steps in enumerate([(1, 6), (3, 4, 6)]):
        for count in steps:
            # The schedule follows max_steps, so a run is stopped by a crash instead.
            run = trainer(tmp_path / f"run-{number}", checkpoint_every_steps=1)
            if count < 6:
                run.report = crash_at(count)
                with pytest.raises(Crash):
                    run.run(talking, resume=True)
            else:
                run.run(talking, resume=True)
        assert_same_weights(tmp_path / f"run-{number}", finished[0])


class Crash(BaseException):
    """Ends a run as a killed process would, without a last checkpoint."""


def crash_at(step: int) -> Any:
    def report(done: int, *_: Any) -> None:
        if done == step + 1:
            raise Crash

    return report


def test_shards_and_workers_give_the_same(finished: tuple[Path, RunResult], talking: Path, tmp_path: Path) -> None:
    """Worker processes that read the cache, and the clips held in memory."""
    trainer(tmp_path / "read", cache_clips=False, workers=2, max_rejected_share=1.0).run(talking)
    kept = trainer(tmp_path / "kept", max_rejected_share=1.0)
    kept.run(talking)
    assert_same_weights(tmp_path / "kept", finished[0])
    # The clip without a face is met in batches there, so they differ, but both end.
    assert weights(tmp_path / "read").keys() == weights(finished[0]).keys()
    shards = tmp_path / "shards"
    pack(talking, shards, PackOptions(faces=True, shard_clips=3), workers=1, open_finder=open_finder)
    result = trainer(tmp_path / "packed").run(shards)
    assert result.metrics["rejected_clips"] == 0
    assert not any(RunFolder(tmp_path / "packed").faces.iterdir())
    plain = tmp_path / "plain"
    pack(talking, plain, PackOptions(shard_clips=3), workers=1)
    with pytest.raises(DataError, match="no_face"):
        trainer(tmp_path / "none").run(plain)


def test_a_stop_while_faces_are_followed(talking: Path, tmp_path: Path) -> None:
    """A signal keeps the tracks that are finished; the run begins when it is called again."""
    run = trainer(tmp_path / "run")
    run.on_load = lambda done, _: os.kill(os.getpid(), signal.SIGTERM) if done == 3 else None
    result = run.run(talking)
    assert (result.signal_number, result.state.step) == (signal.SIGTERM, 0)
    assert len(list((tmp_path / "run" / "faces").iterdir())) == 3
    loaded: list[int] = []
    again = trainer(tmp_path / "run")
    again.on_load = lambda done, _: loaded.append(done)
    assert again.run(talking, resume=True).state.step == 6
    assert loaded == [4, 5, 6, 7]


def test_init_from_keeps_the_spread(finished: tuple[Path, RunResult], talking: Path, tmp_path: Path) -> None:
    """A run from another's weights standardises as that one; of another size it is refused."""
    trainer(tmp_path / "run", init_from=str(finished[0]), max_steps=1, learning_rate=1e-12).run(talking)
    assert torch.equal(load_face(tmp_path / "run").landmark_mean, load_face(finished[0]).landmark_mean)
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path / "other", init_from=str(finished[0]), embed_dim=8).run(talking)
    with pytest.raises(CheckpointError, match="holds no face model"):
        load_face(_other_run(tmp_path))


def _other_run(folder: Path) -> Path:
    save_model(small_model(), folder / "other-run", 0)
    return folder / "other-run"


def test_averaged(finished: tuple[Path, RunResult], talking: Path, tmp_path: Path) -> None:
    """The mean of checkpoints is a face run again, with its offsets."""
    run = trainer(tmp_path / "run", checkpoint_every_steps=2)
    run.run(talking)
    write_average(tmp_path / "run", [4, 6], tmp_path / "mean")
    assert Run.open(tmp_path / "mean").is_face
    assert weights(tmp_path / "mean").keys() == weights(finished[0]).keys()
    assert FaceOffsets.read(RunFolder(tmp_path / "mean").face_offsets_file) is not None


def test_options_are_checked(tmp_path: Path) -> None:
    """Options reach their record; those that a face run cannot honour are refused."""
    model, train = override(*preset("sync-face"), {"landmark_noise": 0.5, "window_frames": 45, "mouth_width": 7})
    assert train.face is not None
    assert (train.face.face_augmentation.landmark_noise, train.face.window_frames) == (0.5, 45)
    assert model.mouth_width == 7  # type: ignore[union-attr]
    for values in ({"colour": 1.0}, {"time_shift_frames": 3}, {"window_frames": 3}, {"landmark_noise": -1}):
        with pytest.raises(ConfigError):
            override(*preset("sync-face"), values)
    with pytest.raises(ConfigError, match="Unknown option 'landmark_noise'"):
        override(*preset("debug"), {"landmark_noise": 0.5})
    with pytest.raises(ConfigError, match="open_finder"):
        Trainer(*override(*preset("sync-face"), SMALL), tmp_path / "run").run(tmp_path)


@pytest.mark.slow
def test_it_learns_and_finds_the_footage_s_offset(tmp_path: Path) -> None:
    """Held-out moments are told apart, and the group whose audio is late is found out and corrected."""
    for number in range(18):
        late = number % 3 == 0
        write_talking_clip(
            tmp_path / "clips" / ("late" if late else "exact") / f"{number}.mkv",
            syllables(100 + number),
            seconds=4.0,
            audio_late_seconds=0.08 if late else 0.0,
        )
    held_out = write_talking_clips(tmp_path / "held", 3, seconds=4.0)
    sizes = {"embed_dim": 32, "width": 48, "dropout": 0.0, "landmark_members": 1}
    # The mouths of these clips are all alike and move by little.
    plain = {
        "background": 0.0,
        "other_mouth": 0.0,
        "landmark_motion": 0.0,
        "landmark_noise": 0.0,
        "landmark_offset": 0.0,
    }
    run = trainer(tmp_path / "run", max_steps=200, batch_clips=9, **plain, **sizes)
    result = run.run(tmp_path / "clips", held_out=[held_out])
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    # Grey mouths tell nothing, so the loss of that member stays as it is.
    assert result.metrics["loss"] < 0.8 * first["loss"]
    # Of 36 moments.
    assert result.metrics["held_out_accuracy"] > 2 / 36
    offsets = FaceOffsets.read(RunFolder(tmp_path / "run").face_offsets_file)
    assert offsets is not None
    found = {name: group.audio_offset_ms for name, group in offsets.groups.items()}
    # Early is positive, late negative: what differs between the groups is what was put in.
    assert found["clips/late"] - found["clips/exact"] == pytest.approx(-80, abs=30)
