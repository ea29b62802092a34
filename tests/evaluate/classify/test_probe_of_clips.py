"""A head that takes the frames of a clip together: its scores are those of the whole clip, and of nothing less."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from generated_clips import make_clips
from small_models import small_config

from cavsync.cli.main import main
from cavsync.data.batches import normalised_frames
from cavsync.data.logmel import normalise
from cavsync.data.sources.classes import ClassLabels
from cavsync.errors import ConfigError
from cavsync.evaluate.classify.classifier import open_classifier
from cavsync.evaluate.classify.measure import classify
from cavsync.evaluate.classify.result import classify_result
from cavsync.evaluate.inputs.clip_inputs import clip_inputs, plan_for_model
from cavsync.evaluate.inputs.eval_clips import open_eval_clips
from cavsync.evaluate.results.result import read_result
from cavsync.export.classifier import load_run
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT
from cavsync.run import Run

FAMILIES = ("impacts", "drummer", "keys", "face")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe with random weights."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    model = CAVMAEFT(small_config(), 4, "self_attention_cls")
    trained = {"classify": {"target": "single-label", "mode": "multimodal"}, "instants_per_clip": 3}
    save_model(model, folder, 0, train=trained)
    ClassLabels.of_names(FAMILIES).write(folder / "class_labels.csv")
    return folder


def test_scores_are_of_the_clip(run: Path, tmp_path: Path) -> None:
    """One softmax over the logits of three frames together, which is no mean over frames."""
    folder = make_clips(tmp_path / "clips", 4)
    opened = open_classifier(run)
    clips = open_eval_clips(folder, segment_frames=80, frames=3)
    found = classify(opened, clips, ("multimodal",), ignore_other_labels=True)
    plan = plan_for_model(opened.model.config, 3)
    for place, index in enumerate(clips.indices):
        inputs = clip_inputs(clips.source.load(index, 48), plan)
        audio = normalise(torch.from_numpy(inputs.segments[inputs.segment_of]))
        frames = normalised_frames(torch.from_numpy(inputs.tubelets).permute(0, 1, 4, 2, 3))
        with torch.no_grad():
            together = opened.model(audio, frames, frames_per_clip=3).softmax(dim=1)[0]
            single = opened.model(audio, frames).softmax(dim=1).mean(dim=0)
        np.testing.assert_allclose(found.scores["multimodal"][place], together, atol=1e-5)
        assert not np.allclose(found.scores["multimodal"][place], single, atol=1e-3)
    protocol = classify_result(opened, found, clips).protocol
    assert (protocol["head"], protocol["frames"]) == ("self_attention_cls", 3)
    assert protocol["aggregation"] == "evenly spread frames together, by the head"
    with pytest.raises(ConfigError, match="use multimodal"):
        classify(opened, clips, ("missing-visual",), ignore_other_labels=True)


def test_the_command_takes_as_many_frames_as_the_training(run: Path, tmp_path: Path) -> None:
    """Three of a clip where nothing else is asked for, not the ten of heads on single frames."""
    folder, out = make_clips(tmp_path / "clips", 4), tmp_path / "r.json"
    args = ["eval", "classify", str(folder), "--model", str(run), "--ignore-other-labels", "--json", str(out)]
    for options, frames in (([], 3), (["--frames", "2"], 2)):
        done = CliRunner().invoke(main, [*args, *options])
        assert done.exit_code == 0, done.output
        assert read_result(out).protocol["frames"] == frames


def test_the_command_takes_as_many_frames_as_the_published_probe_where_the_training_is_unknown(tmp_path: Path) -> None:
    """As `cavsync tag` does."""
    torch.manual_seed(0)
    save_model(CAVMAEFT(small_config(), 4, "self_attention_cls"), tmp_path / "model", 0, train={})
    ClassLabels.of_names(FAMILIES).write(tmp_path / "model" / "class_labels.csv")
    folder, report = make_clips(tmp_path / "clips", 2), tmp_path / "report.json"
    arguments = ["eval", "classify", str(folder), "--model", str(tmp_path / "model"), "--ignore-other-labels"]
    ended = CliRunner().invoke(main, [*arguments, "--target", "single-label", "--json", str(report)])
    assert ended.exit_code == 0, ended.output
    assert read_result(report).protocol["frames"] == open_classifier(tmp_path / "model").frames_together == 16


def test_single_frames_are_refused(run: Path) -> None:
    """Bundles give classes of single frames, for which the head was not trained."""
    with pytest.raises(ConfigError, match="a bundle needs classes of single frames"):
        load_run(Run.open(run).at(None), None)
