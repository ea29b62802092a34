"""`cavsync eval classify` on runs and published files, over folders, lists and shards."""

import json
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from generated_clips import make_clips
from PIL import Image
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score
from small_models import small_config, small_model

from cavsync.cli.main import main
from cavsync.data.clip import load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.logmel import log_mel, normalise
from cavsync.data.sources.classes import ClassLabels
from cavsync.data.sources.write_cav_mae_list import write_cav_mae_list
from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.evaluate.classify.classifier import open_classifier
from cavsync.evaluate.classify.measure import ClassificationScores, classify
from cavsync.evaluate.inputs.eval_clips import open_eval_clips
from cavsync.evaluate.results.result import read_result
from cavsync.media.audio_file import read_audio
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT

FAMILIES = ("impacts", "drummer", "keys", "face")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips, two of each family."""
    return make_clips(tmp_path_factory.mktemp("clips"), 8)


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One class per clip."""
    rows = "".join(f"{n},/f/{n},{name}\n" for n, name in enumerate(FAMILIES))
    path = tmp_path_factory.mktemp("labels") / "families.csv"
    path.write_text("index,mid,display_name\n" + rows)
    return path


def classifier(label_dim: int = 4, **changes: Any) -> CAVMAEFT:
    """Random weights, and a head that is far from undecided."""
    torch.manual_seed(0)
    model = CAVMAEFT(small_config(**changes), label_dim)
    with torch.no_grad():
        model.mlp_head[1].weight.mul_(10)
    return model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, families: Path) -> Path:
    """A run with a classifier."""
    folder = tmp_path_factory.mktemp("run")
    train = {"classify": {"target": "single-label", "mode": "multimodal"}}
    save_model(classifier(), folder, 0, train=train)
    ClassLabels.read(families).write(folder / "class_labels.csv")
    return folder


def classified(run: Path, data: Path, *modes: Any, frames: int | None = 2, **options: Any) -> ClassificationScores:
    """Scores of the clips of a source, other labels than the families left aside."""
    opened = open_classifier(run)
    clips = open_eval_clips(data, segment_frames=opened.model.config.audio_length, frames=frames)
    return classify(opened, clips, modes or ("multimodal",), **{"ignore_other_labels": True} | options)


def command(*arguments: str | Path) -> Result:
    """`cavsync eval classify`."""
    return CliRunner().invoke(main, ["eval", "classify", *map(str, arguments)])


def test_scores_are_the_mean_over_frames(clips: Path, run: Path) -> None:
    """Three frames of each clip cut out by hand, each with its own audio, through a softmax."""
    model = open_classifier(run).model
    found = classified(run, clips, frames=3)
    assert [Path(name).name for name in found.names] == sorted(path.name for path in clips.glob("*.mp4"))
    mean, std = (torch.tensor(v).view(3, 1, 1) * 255 for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for place, name in enumerate(found.names):
        clip = load_clip(name, 48)
        assert isinstance(clip.audio, Waveform)
        features = log_mel(torch.from_numpy(clip.audio.samples))
        chances = []
        for part in range(3):
            number = int(np.abs(clip.pts_seconds - 2.0 * part / 3).argmin())
            centre = (clip.pts_seconds[number] - clip.audio_start_seconds) / 0.01
            # The frame whose window's middle is nearest to the frame is in the middle of the segment.
            start = min(max(0, round(centre - 1.25 - 39.5)), len(features) - 80)
            frame = (torch.from_numpy(clip.frames[np.array([number])]) - mean) / std
            with torch.no_grad():
                chances.append(model(normalise(features[None, start : start + 80]), frame).softmax(1)[0])
        np.testing.assert_allclose(found.scores["multimodal"][place], torch.stack(chances).mean(0), atol=0.02)


def test_neighbours_and_threads_change_no_number(clips: Path, run: Path, tmp_path: Path) -> None:
    """A clip alone, all of them, and several decoded at once: the same scores to the bit."""
    found = classified(run, clips, "multimodal", "missing-audio")
    other = classified(run, clips, "multimodal", "missing-audio", threads=3)
    assert other.names == found.names
    path = Path(found.names[5])
    (tmp_path / path.name).symlink_to(path)
    (tmp_path / "labels.csv").write_text((clips / "labels.csv").read_text())
    alone = classified(run, tmp_path, "multimodal", "missing-audio")
    for mode, scores in found.scores.items():
        np.testing.assert_array_equal(other.scores[mode], scores)
        np.testing.assert_array_equal(alone.scores[mode][0], scores[5])


def test_result_holds_protocol_and_figures(clips: Path, run: Path, tmp_path: Path) -> None:
    """Figures equal scikit-learn's on the same scores; modes stand before the names where there are several."""
    modes = ("multimodal", "missing-visual", "missing-audio")
    options = [part for mode in modes for part in ("--mode", mode)]
    out, page = tmp_path / "result.json", tmp_path / "page.html"
    done = command(
        clips, "--model", run, "--frames", "2", "--ignore-other-labels", *options, "--json", out, "--html", page
    )
    assert done.exit_code == 0, done.output
    result = read_result(out)
    assert result.task == "classify"
    assert (result.protocol["target"], result.protocol["frames"]) == ("single-label", 2)
    assert result.protocol["joint_blocks_chained"] is True
    assert result.provenance.models[0].kind == "run"
    assert result.provenance.data[0].count == 8
    assert "mAP" in page.read_text(encoding="utf-8")
    found = classified(run, clips, *modes)
    for mode in modes:
        scores = found.scores[mode]
        area = np.mean([roc_auc_score(found.targets[:, c], scores[:, c]) for c in range(4)])
        expected = {
            "map": np.mean([average_precision_score(found.targets[:, c], scores[:, c]) for c in range(4)]),
            "auc": area,
            "d_prime": math.sqrt(2) * norm.ppf(area),
            "accuracy": np.mean(scores.argmax(1) == found.targets.argmax(1)),
        }
        for name, value in expected.items():
            metric = result.metrics[f"{mode}/{name}"]
            assert metric.value == pytest.approx(value, abs=1e-6)
            assert metric.low is not None
            assert metric.high is not None
            assert metric.low <= metric.value <= metric.high
        rows = cast(list[dict[str, Any]], result.rows["clips"])
        assert [row["name"] for row in rows] == found.names
        assert [[FAMILIES.index(name) for name in row["classes"]] for row in rows] == [
            np.flatnonzero(wanted).tolist() for wanted in found.targets
        ]
        assert [row[mode]["probability"] for row in rows] == pytest.approx(scores.max(axis=1))
        assert np.mean([row[mode]["right"] for row in rows]) == pytest.approx(expected["accuracy"])
    assert result.protocol["ignore_other_labels"] is True


def test_published_file_needs_its_classes(clips: Path, families: Path, tmp_path: Path) -> None:
    """A `.pth` of the authors with their label CSV, multi-label or single-label by the labels."""
    model = classifier(num_register_tokens=0, cls_token=False)
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, tmp_path / "ft.pth")
    path, size = tmp_path / "ft.pth", ("--set", "num_heads=2")
    refused = command(clips, "--model", path, *size)
    assert (refused.exit_code, "--labels" in refused.output) == (2, True)
    out = tmp_path / "out.json"
    done = command(clips, "--model", path, *size, "--labels", families, "--ignore-other-labels", "--json", out)
    assert done.exit_code == 0, done.output
    result = read_result(out)
    assert (result.provenance.models[0].kind, result.protocol["target"]) == ("upstream", "single-label")
    assert "accuracy" in result.metrics


def test_lists_and_shards_give_what_the_folder_gives(clips: Path, run: Path, families: Path, tmp_path: Path) -> None:
    """CAV-MAE's layout and packed shards of the same clips have the same classes; ten frames are all of a list's."""
    assert len(write_cav_mae_list(clips, tmp_path / "list", frames=10, img_size=48)) == 0
    packed = CliRunner().invoke(
        main, ["data", "pack", str(clips), str(tmp_path / "shards"), "--size", "48", "--workers", "1"]
    )
    assert packed.exit_code == 0, packed.output
    folder, shards = (classified(run, data, "missing-audio", frames=10) for data in (clips, tmp_path / "shards"))
    listed = ClassLabels.read(tmp_path / "list" / "class_labels.csv")
    torch.manual_seed(0)
    save_model(classifier(len(listed)), tmp_path / "all", 0)
    listed.write(tmp_path / "all" / "class_labels.csv")
    assert classified(tmp_path / "all", tmp_path / "list" / "list.json", frames=None).targets.sum(axis=1).min() >= 2
    assert set(FAMILIES) < set(listed.display_names)
    by_name = {Path(name).stem: row for name, row in zip(folder.names, folder.targets.tolist(), strict=True)}
    assert sorted(map(tuple, shards.targets.tolist())) == sorted(map(tuple, by_name.values()))
    entries = json.loads((tmp_path / "list" / "list.json").read_text())["data"]
    for entry in entries:
        names = {listed.display_names[listed.index_of[mid]] for mid in entry["labels"].split(",")}
        assert by_name[entry["video_id"]] == [family in names for family in FAMILIES]


def test_published_csvs_are_read_with_their_media(clips: Path, run: Path, tmp_path: Path) -> None:
    """VGGSound's `id,start,label,split` and AudioSet's `id,start,end,"labels"`, videos named by id and start."""
    files = sorted(clips.glob("*.mp4"))
    for number, file in enumerate(files):
        (tmp_path / f"video{number:06d}_000030.mp4").symlink_to(file)
    family = [file.stem.partition("-")[2] for file in files]
    vggsound, audioset = tmp_path / "vggsound.csv", tmp_path / "audioset.csv"
    splits = ["train" if number < 4 else "test" for number in range(8)]
    rows = [f"video{n:06d},30,{family[n]},{splits[n]}\n" for n in range(8)]
    vggsound.write_text("".join(rows))
    rows = [f'video{n:06d}, 30.000, 40.000, "/f/{n % 4},/f/{(n + 1) % 4}"\n' for n in range(8)]
    audioset.write_text("# YTID, start_seconds, end_seconds, positive_labels\n" + "".join(rows))
    out = tmp_path / "out.json"
    done = command(vggsound, "--media", tmp_path, "--split", "test", "--model", run, "--frames", "2", "--json", out)
    assert done.exit_code == 0, done.output
    assert read_result(out).metrics["accuracy"].count == 4
    assert read_result(out).protocol["selection"] == {"list": None, "split": "test"}
    assert read_result(out).protocol["ignore_other_labels"] is False
    refused = command(audioset, "--media", tmp_path, "--model", run, "--frames", "2")
    assert refused.exit_code == 1
    assert "single-label" in refused.output
    done = command(audioset, "--media", tmp_path, "--model", run, "--frames", "2", "--target", "multi-label",
                   "--json", out)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "accuracy" not in read_result(out).metrics
    assert read_result(out).metrics["map"].count == 8


def test_frames_of_a_list_show_what_the_video_shows(clips: Path, tmp_path: Path) -> None:
    """Frame i of n is the frame at i/n of the clip, its audio the clip's."""
    write_cav_mae_list(clips, tmp_path / "list", frames=5, img_size=48)
    for path in sorted(clips.glob("*.mp4"))[:2]:
        clip = load_clip(path, 48)
        for number in range(5):
            with Image.open(tmp_path / "list" / "frames" / f"frame_{number}" / f"{path.stem}.jpg") as image:
                found = np.asarray(image, dtype=float)
            wanted = clip.frames[np.array([number * 10])][0].transpose(1, 2, 0)
            assert np.abs(found - wanted).mean() < 4
        audio = read_audio(tmp_path / "list" / "sounds" / f"{path.stem}.wav")
        assert isinstance(clip.audio, Waveform)
        shared = min(len(audio), len(clip.audio.samples)) - 1000
        assert len(audio) == 2 * 16_000
        np.testing.assert_allclose(audio[:shared], clip.audio.samples[:shared], atol=2e-4)
    with pytest.raises(ConfigError, match="not an empty folder"):
        write_cav_mae_list(clips, tmp_path / "list")


def test_wrong_use_is_one_sentence(clips: Path, run: Path, families: Path, tmp_path: Path) -> None:

    save_model(small_model(), tmp_path / "pretrained", 0)
    with pytest.raises(CheckpointError, match="--preset probe"):
        open_classifier(tmp_path / "pretrained")
    (tmp_path / "three.csv").write_text("".join(families.read_text().splitlines(keepends=True)[:4]))
    with pytest.raises(ConfigError, match="other classes"):
        open_classifier(run, tmp_path / "three.csv")
    with pytest.raises(ConfigError, match="was trained multimodal"):
        classified(run, clips, "audio-only")
    with pytest.raises(DataError, match="not in the vocabulary"):
        classified(run, clips, ignore_other_labels=False)
    with pytest.raises(ConfigError, match="use cpu"):
        classified(run, clips, device="cuda:77")
    refused = command(clips, "--model", run, "--json", tmp_path / "absent" / "out.json")
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
