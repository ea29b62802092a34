"""Localisation end to end with an encoder whose heat is known, and its command on a model and on clips."""

import json
import tracemalloc
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from click.testing import CliRunner
from generated_clips import make_clips
from localization_data import colour_encoder, write_ade20k_sound, write_vgg_ss
from PIL import Image
from shared_folder import shared_folder
from sklearn.metrics import average_precision_score
from small_models import small_model

from cavsync.cli.main import main
from cavsync.deploy.runtime.default_bundle import default_bundle
from cavsync.errors import DataError
from cavsync.evaluate.localize.case import TARGET_SIZE
from cavsync.evaluate.localize.data_sets import open_localization_set
from cavsync.evaluate.localize.heat_map import cosine_heat, upsample
from cavsync.evaluate.localize.measure import CENTRE, METHODS, MODEL, RANDOM, localize
from cavsync.evaluate.localize.metrics import success_auc
from cavsync.evaluate.localize.overlay_files import STRIP_HEIGHT, strip
from cavsync.evaluate.localize.overlay_video import write_overlay_video
from cavsync.evaluate.localize.result import localize_result
from cavsync.evaluate.results.provenance import provenance
from cavsync.evaluate.results.result import read_result
from cavsync.model.checkpoint import save_model


@pytest.fixture(scope="module")
def ade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ade20k_sound(tmp_path_factory.mktemp("ade"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    save_model(small_model(), folder, step=0)
    return folder


def test_a_model_that_knows_is_right(ade: Path) -> None:
    """The colour encoder finds every object; with the other pitch it looks elsewhere, and priors know nothing."""
    scores = localize(colour_encoder(), open_localization_set(ade))
    assert sorted(scores.images.values()) == [2, 2]
    assert [name.partition(" (")[2] for name in scores.rejects] == ["row 5 of prompted_segmentation.csv)"]
    for values, least in ((scores.average_precision, 0.9), (scores.iou, 0.8)):
        mean = {method: np.mean([found[method] for found in values.values()]) for method in METHODS}
        assert mean[MODEL] > least
        assert max(mean[CENTRE], mean[RANDOM]) < mean[MODEL] - 0.3
    assert all(found[MODEL] > found[RANDOM] for found in scores.ciou.values())
    # Half of the pixels are taken, so an object of a fifth cannot reach more.
    shares = scores.object_share.values()
    assert np.mean([found[MODEL] for found in scores.ciou.values()]) <= max(shares) / 0.4


def test_classes_are_pooled_over_their_pictures(ade: Path) -> None:
    """Average precision of a class is that of all its pixels in one list, not the mean over its pictures."""
    encoder, data = colour_encoder(), open_localization_set(ade)
    scores = localize(encoder, data)
    for category in scores.images:
        heats, masks = [], []
        for index in range(len(data.sources)):
            if data.sources[index] in scores.rejects:
                continue
            case = data.load(index, encoder)[0]
            if case.category == category:
                audio = encoder.embed_audio(case.segments).pooled
                patches = encoder.embed_frames(case.tubelet[None]).patches[0]
                heats.append(upsample(cosine_heat(audio, patches, encoder.visual_grid), TARGET_SIZE, TARGET_SIZE))
                masks.append(case.mask)
        expected = average_precision_score(np.ravel(masks), np.ravel(heats))
        assert scores.average_precision[category][MODEL] == pytest.approx(expected, abs=1e-6)
        assert scores.object_share[category] == pytest.approx(np.mean(masks))


def test_rejects_are_named_and_one_clip_is_too_few(tmp_path: Path) -> None:
    data = open_localization_set(write_vgg_ss(tmp_path), tmp_path)
    scores = localize(colour_encoder(), data)
    assert set(scores.rejects) == {"gone_000002", "still_000001"}
    assert len(scores.ciou) == 3
    (tmp_path / "vggss.json").write_text(json.dumps(data.entries[:1]))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="at least two usable clips"):
        localize(colour_encoder(), open_localization_set(tmp_path / "vggss.json", tmp_path))


def test_questions_of_one_name_are_all_asked(tmp_path: Path) -> None:
    """Two objects of one clip: two questions with a cIoU each, and a row each."""
    path = write_vgg_ss(tmp_path)
    entries = json.loads(path.read_text())
    twin = entries[0] | {"bbox": [[0.5, 0.0, 1.0, 0.5]]}
    path.write_text(json.dumps([*entries[:3], twin]))
    data = open_localization_set(path, tmp_path, boxes_needed=2)
    scores = localize(colour_encoder(), data)
    assert len(scores.ciou) == 4
    result = localize_result(scores, data, provenance(models=[], data=[]), joint_blocks_chained=True)
    rows = cast(list[dict[str, Any]], result.rows["pictures"])
    same = [row["ciou"]["model"] for row in rows if row["name"] == entries[0]["file"]]
    assert len(same) == 2
    assert same[0] != same[1]
    # A picture that a single annotator marked is asked about all the same.
    assert min(scores.object_share.values()) > 0
    assert result.protocol["boxes_needed"] == 2
    values = [row["ciou"]["model"] for row in rows]
    area = result.metrics["model/AUC"]
    assert area.value == pytest.approx(success_auc(values))
    assert area.low is not None
    assert area.high is not None
    assert min(values) - 0.05 <= area.low <= area.value <= area.high <= max(values) + 0.05


def test_equal_seeds_give_equal_numbers(ade: Path) -> None:
    data = open_localization_set(ade)
    first, same = (localize(colour_encoder(), data, seed=4) for _ in range(2))
    assert first == same
    assert localize(colour_encoder(), data, seed=5).average_precision != first.average_precision


def test_command(ade: Path, run: Path, tmp_path: Path) -> None:
    """Table, JSON with protocol and provenance, page with the pictures inside."""
    out = tmp_path / "pictures"
    files = [
        "--json",
        str(tmp_path / "r.json"),
        "--html",
        str(tmp_path / "r.html"),
        "--out",
        str(out),
        "--pictures",
        "3",
    ]
    done = CliRunner().invoke(main, ["eval", "localize", str(ade), "--model", str(run), "--channels", "first", *files])
    assert done.exit_code == 0, done.output
    result = read_result(tmp_path / "r.json")
    assert result.task == "localize"
    assert result.protocol["channels"] == "the first channel, as published"
    assert str(result.protocol["segments"]).startswith("half-overlapping")
    assert result.protocol["joint_blocks_chained"] is True
    assert {f"{method}/{name}" for method in ("model", "other_sound", "centre", "random")
            for name in ("mAP", "mIoU", "cIoU_0.5", "AUC")} == set(result.metrics)  # fmt: skip
    assert result.provenance.data[0].count == 13
    assert result.provenance.models[0].kind == "run"
    assert sorted(path.name for path in out.iterdir()) == ["0000.png", "0001.png", "0002.png"]
    with Image.open(out / "0000.png") as board:
        assert board.size == (2 * TARGET_SIZE + 4, TARGET_SIZE)
    assert (tmp_path / "r.html").read_text().count("data:image/png") == 3


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--only-overlays"], 2, "--out"),
        (["--only-overlays", "--out", "x", "--json", "y.json"], 2, "measures nothing"),
        ([], 1, "no annotations of sounding objects"),
    ],
)
def test_bad_usage(
    arguments: list[str], status: int, sentence: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["eval", "localize", str(tmp_path), "--model", str(run), *arguments])
    assert done.exit_code == status
    assert sentence in done.output


def test_overlay_video_keeps_time_and_sound(tmp_path: Path) -> None:
    """As many frames at the same times, a sound as long, heat over the picture's square and nothing beside it."""
    clip = make_clips(tmp_path / "clips", 1, families=["keys"], size=(192, 96)) / "00000-keys.mp4"
    target = tmp_path / "out.mp4"
    heats = write_overlay_video(clip, target, colour_encoder())
    before, after = (_frames(path) for path in (clip, target))
    assert len(heats) == len(before) == len(after) == 50
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-3)
    change = np.abs(np.stack([a[1].astype(int) - b[1] for a, b in zip(after, before, strict=True)])).mean(axis=(0, 3))
    assert change[:, 56:136].mean() > 3 * change[:, :40].mean()
    with av.open(str(target)) as container:
        audio = container.streams.audio[0]
        assert float(audio.duration * audio.time_base) == pytest.approx(2.0, abs=0.1)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ""] == ["out.mp4"]


def _frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [(float(frame.time or 0), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_a_strip_keeps_six_small_pictures(tmp_path: Path) -> None:
    """The pictures in the middle of six equal parts; fifty full frames are never held at once."""
    clip = make_clips(tmp_path / "clips", 1, families=["keys"], size=(640, 360)) / "00000-keys.mp4"
    frames = [frame for _, frame in _frames(clip)]
    tracemalloc.start()
    found = strip(clip)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(frames) * frames[0].nbytes / 4
    parts = [
        np.asarray(Image.fromarray(frames[number]).resize((320, STRIP_HEIGHT))) for number in (4, 12, 20, 29, 37, 45)
    ]
    for number, part in enumerate(parts):
        left = number * (found.shape[1] - 320) // 5
        assert np.abs(found[:, left : left + 320].astype(int) - part).mean() < 2


@pytest.mark.shared
def test_overlays_of_real_clips_with_the_bundle_that_comes_along(tmp_path: Path) -> None:
    """The command writes a video and a strip of pictures; a file that is no clip is named and left out."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for path in sorted((shared_folder("data") / "clips" / "grid").glob("*"))[:1]:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.mp4").write_bytes(b"nothing")
    arguments = [
        "--model",
        str(default_bundle()),
        "--only-overlays",
        "--out",
        str(tmp_path / "out"),
        "--max-seconds",
        "1.5",
    ]
    done = CliRunner().invoke(main, ["eval", "localize", str(folder), *arguments])
    assert done.exit_code == 0, done.output
    assert "bad.mp4" in done.output
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".mp4", ".png"]
    video = next((tmp_path / "out").glob("*.mp4"))
    assert 30 <= len(_frames(video)) <= 45


def test_overlay_scales(tmp_path: Path) -> None:
    """Scaled by picture, every frame has a place of full heat; scaled by clip, some frames stay bare."""
    clip = make_clips(tmp_path / "clips", 1, families=["keys"], size=(96, 96)) / "00000-keys.mp4"
    before = _frames(clip)
    hottest = {}
    for scale in ("clip", "picture"):
        write_overlay_video(clip, tmp_path / f"{scale}.mp4", colour_encoder(), scale=scale)  # type: ignore[arg-type]
        after = _frames(tmp_path / f"{scale}.mp4")
        changes = [np.abs(a[1].astype(int) - b[1]).mean(axis=2) for a, b in zip(after, before, strict=True)]
        hottest[scale] = np.array([np.percentile(change, 99) for change in changes])
    assert hottest["picture"].min() > 40
    assert hottest["clip"].min() < hottest["picture"].min()
