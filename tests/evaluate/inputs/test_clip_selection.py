"""Which clips a test takes, and what it says of those that it does not; their identity on every machine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from retrieval_sets import cav_mae_json, measure_retrieval, vggsound_csv, video_folder
from small_models import small_model

from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.data.sources.listed_videos import ListedVideos
from cavsync.errors import DataError
from cavsync.evaluate.inpaint.measure import inpaint, sweep
from cavsync.evaluate.inputs.encoders import Encoder, open_encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips, open_eval_clips
from cavsync.evaluate.results.provenance import data_id
from cavsync.evaluate.retrieval.embeddings import clip_embeddings
from cavsync.model.checkpoint import save_model


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = tmp_path_factory.mktemp("model") / "run"
    save_model(small_model(), folder, 1)
    return open_encoder(folder)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_folder(tmp_path_factory.mktemp("videos"), 3)


def opened(data: Path, **options: Any) -> EvalClips:
    return open_eval_clips(data, segment_frames=80, **{"frames": 2, **options})


def write_list(path: Path, *names: str) -> Path:
    entry = {"wav": "x", "video_path": "y", "labels": "z"}
    path.write_text(json.dumps({"data": [{**entry, "video_id": name} for name in names]}))
    return path


def test_a_clip_that_is_listed_twice_counts_once(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Each embedding lies at its own clip's place, and the repetition is said."""
    once, twice = (
        opened(videos, only=write_list(tmp_path / f"{len(names)}.json", *names))
        for names in (("vid2", "vid0"), ("vid2", "vid2", "vid0"))
    )
    assert twice.indices == [2, 0]
    found = [clip_embeddings(encoder, clips, tmp_path / "cache") for clips in (once, twice)]
    assert found[1].names == ["vid2", "vid0"]
    assert found[1].visual.shape[0] == 2
    assert (found[0].audio == found[1].audio).all()
    result = measure_retrieval(encoder, twice, found[1])
    assert result.protocol["gallery"] == 2
    assert "3.json repeats 1 clips: each counts once." in result.notes
    assert once.data.sha256 == twice.data.sha256 != opened(videos).data.sha256


def test_damaged_shards_are_among_the_rejects(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    pack(videos, tmp_path / "shards", PackOptions(shard_clips=1), workers=1)
    tars = sorted((tmp_path / "shards").glob("*.tar"))
    assert len(tars) == 3
    tars[1].write_bytes(b"")
    clips = opened(tmp_path / "shards")
    assert len(clips.indices) == 2
    assert [tars[1].name in name for name in clips.rejects] == [True]
    result = measure_retrieval(encoder, clips, clip_embeddings(encoder, clips, tmp_path / "cache"))
    assert result.rejects == clips.rejects
    assert any("1 rejects" in note for note in result.notes)
    assert inpaint(small_model().eval(), clips.source, sweep([0.5], ["time"]), indices=[0]).rejects == clips.rejects


def test_classes_are_drawn_among_clips_that_are_there(encoder: Encoder, tmp_path: Path) -> None:
    """Half of the files are gone: whatever the seed, what is drawn can be read, and the rest is named."""
    media = tmp_path / "media"
    path = vggsound_csv(tmp_path / "vggsound.csv", media, 4)
    (media / "vid0_000030.mkv").unlink()
    for seed in range(8):
        clips = opened(path, media=media, per_class=1, seed=seed)
        assert all(Path(clips.source.names[index]).is_file() for index in clips.indices)
        assert len(clips.indices) == 2
        assert sorted(clips.rejects) == ["lost", "vid0"]
    assert clips.selection["class_sizes"] == {"1": 2}
    # Cats have vid2 alone, dogs vid1 and vid3.
    wide = opened(path, media=media, per_class=2)
    assert wide.selection["class_sizes"] == {"2": 1, "1": 1}
    assert wide.notes == ["1 of 2 classes have fewer than 2 usable clips (cat purring)."]
    result = measure_retrieval(encoder, wide, clip_embeddings(encoder, wide, tmp_path / "cache"))
    assert "lost" in result.rejects
    assert wide.notes[0] in result.notes


def test_classes_of_a_json_without_files(tmp_path: Path) -> None:
    path = cav_mae_json(tmp_path, 4)
    (tmp_path / "audio" / "vid2.wav").unlink()
    (tmp_path / "frames" / "frame_3" / "vid3.jpg").unlink()
    clips = opened(path, frames=4, per_class=2)
    assert clips.names == ["vid0", "vid1"]
    assert sorted(Path(name).name for name in clips.rejects) == ["vid2", "vid3"]
    for wav in (tmp_path / "audio").iterdir():
        wav.unlink()
    with pytest.raises(DataError, match="can be read"):
        opened(path, frames=4, per_class=2)


def test_names_of_listed_videos_are_made_once(tmp_path: Path) -> None:
    path = vggsound_csv(tmp_path / "vggsound.csv", tmp_path / "media", 2)
    source = ListedVideos.open(path, tmp_path / "media")
    assert source.names is source.names


def test_data_are_the_same_on_another_machine(tmp_path: Path) -> None:
    """A CAV-MAE list, whose paths are one machine's, and a list outside the folder of the videos."""
    here, there = tmp_path / "here", tmp_path / "there" / "deeper"
    cav_mae_json(here / "json", 2)
    video_folder(here / "videos", 2)
    shutil.copytree(here, there)
    text = (here / "json" / "list.json").read_text()
    (there / "json" / "list.json").write_text(text.replace(str(here), str(there)))
    first, second = (opened(place / "json" / "list.json", frames=None).data for place in (here, there))
    assert first == second
    assert first.count == 2 * 5
    lists = (write_list(tmp_path / "five.json", "vid1"), write_list(there / "five.json", "vid1"))
    chosen = [opened(place / "videos", only=only).data for place, only in zip((here, there), lists, strict=True)]
    assert chosen[0] == chosen[1]
    changed = there / "json" / "frames" / "frame_1" / "vid1.jpg"
    shutil.copy(there / "json" / "frames" / "frame_1" / "vid0.jpg", changed)
    assert opened(there / "json" / "list.json", frames=None).data.sha256 != first.sha256


def test_files_outside_the_root_are_named_from_it(tmp_path: Path) -> None:
    """A manifest beside the folder of its clips, with ../, on two machines."""
    found = []
    for place in ("a", "b/c"):
        (tmp_path / place / "clips").mkdir(parents=True)
        (tmp_path / place / "lists").mkdir()
        (tmp_path / place / "clips" / "x.mkv").write_text("x")
        root = tmp_path / place / "lists"
        found += [data_id("set", [path], root) for path in (root / "../clips/x.mkv", tmp_path / place / "clips/x.mkv")]
    assert len({data.sha256 for data in found}) == 1
