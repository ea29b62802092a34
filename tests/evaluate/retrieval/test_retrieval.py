"""Retrieval end to end on tiny sets in the published formats, with a small model of random weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from retrieval_sets import cav_mae_json, measure_retrieval, vggsound_csv, video_folder
from small_models import small_model

from cavsync.cli.main import main
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.inputs.clip_selection import clip_name
from cavsync.evaluate.inputs.encoders import Encoder, has_chained_blocks, open_encoder
from cavsync.evaluate.inputs.eval_clips import EvalClips, open_eval_clips
from cavsync.evaluate.results.compare import compare_results
from cavsync.evaluate.results.result import read_result
from cavsync.evaluate.retrieval.embeddings import ClipEmbeddings, clip_embeddings
from cavsync.model.checkpoint import save_model
from cavsync.model.config import ModelConfig


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "run"
    save_model(small_model(), folder, 1)
    return folder


@pytest.fixture(scope="module")
def encoder(run: Path) -> Encoder:
    return open_encoder(run)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video_folder(tmp_path_factory.mktemp("videos"), 5)


def open_videos(videos: Path, encoder: Encoder, **options: Any) -> EvalClips:
    return open_eval_clips(videos, segment_frames=encoder.segment_frames, frames=3, **options)


def refusing(encoder: Encoder) -> Encoder:
    """An encoder that must not be asked."""

    def refuse(_: object) -> Any:
        raise AssertionError("computed again")

    return replace(encoder, embed_audio=refuse, embed_frames=refuse)


def test_batches_of_one_and_of_many(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    clips = open_videos(videos, encoder)
    one, many = (clip_embeddings(encoder, clips, tmp_path / str(size), batch_size=size) for size in (1, 64))
    assert one.names == many.names == [f"vid{number}" for number in range(5)]
    assert one.visual.shape == (5, 3, 32)
    np.testing.assert_allclose(one.visual, many.visual, atol=1e-5)
    np.testing.assert_allclose(one.audio, many.audio, atol=1e-5)
    results = [measure_retrieval(encoder, clips, found) for found in (one, many)]
    assert results[0].metrics == results[1].metrics


def test_embeddings_are_those_of_the_frames(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """Frame i of n lies at i / n of the clip, its audio around it and pushed inside: cut by hand."""
    clips = open_videos(videos, encoder)
    found = clip_embeddings(encoder, clips, tmp_path)
    clip = clips.source.load(2, encoder.img_size)
    frames = [round(number / 3 * len(clip.frames)) for number in range(3)]
    images = clip.frames[np.array(frames)].transpose(0, 2, 3, 1)[:, None]
    np.testing.assert_allclose(found.visual[2], encoder.embed_frames(images).pooled, atol=1e-5)
    total, length = len(clip.audio), encoder.segment_frames
    # A segment is centred on its 25 ms windows, so on 12.5 ms after its first sample and half its length.
    starts = [round(clip.pts_seconds[frame] * 100 - 1.25 - (length - 1) / 2) for frame in frames]
    segments = clip.audio.segments(np.clip(starts, 0, total - length), length)
    np.testing.assert_allclose(found.audio[2], encoder.embed_audio(segments).pooled, atol=1e-5)


def test_the_cache_is_used_and_keyed(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    clips = open_videos(videos, encoder)
    first = clip_embeddings(encoder, clips, tmp_path)
    again = clip_embeddings(refusing(encoder), clips, tmp_path)
    np.testing.assert_array_equal(first.visual, again.visual)
    for changed in (
        replace(clips, frames=4),
        replace(clips, data=clips.data.model_copy(update={"sha256": "0"})),
        replace(clips, indices=clips.indices[:3]),
    ):
        with pytest.raises(AssertionError, match="computed again"):
            clip_embeddings(refusing(encoder), changed, tmp_path)
    other = replace(refusing(encoder), id=encoder.id.model_copy(update={"sha256": "1"}))
    with pytest.raises(AssertionError, match="computed again"):
        clip_embeddings(other, clips, tmp_path)
    for module in ("__version__", "version"):
        with pytest.MonkeyPatch.context() as patched:
            changed_version: Any = "0.0.0" if module == "__version__" else lambda name: f"another {name}"
            patched.setattr(f"cavsync.evaluate.results.provenance.{module}", changed_version)
            with pytest.raises(AssertionError, match="computed again"):
                clip_embeddings(refusing(encoder), clips, tmp_path)
    # What failed half-way has left nothing behind.
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", ["visual.f32", "info.json"])
def test_a_damaged_cache_is_refused(damage: str, videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    clips = open_videos(videos, encoder)
    clip_embeddings(encoder, clips, tmp_path)
    (file,) = tmp_path.glob(f"*/{damage}")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(DataError, match="delete it"):
        clip_embeddings(encoder, clips, tmp_path)


def test_cav_mae_json(encoder: Encoder, tmp_path: Path) -> None:
    """Frames by number with upstream's segments; as many as there are on disk; classes to draw from."""
    path = cav_mae_json(tmp_path, 4)
    clips = open_eval_clips(path, segment_frames=encoder.segment_frames)
    assert clips.frames == 4
    found = clip_embeddings(encoder, clips, tmp_path / "cache")
    assert found.visual.shape == (4, 4, 32)
    clip = clips.source.load(1, encoder.img_size)
    assert clip.segment_starts is not None
    segments = clip.audio.segments(clip.segment_starts, encoder.segment_frames)
    np.testing.assert_allclose(found.audio[1], encoder.embed_audio(segments).pooled, atol=1e-5)
    chosen = open_eval_clips(path, segment_frames=encoder.segment_frames, per_class=1)
    labels = [json.loads(path.read_text())["data"][index]["labels"] for index in chosen.indices]
    assert any("cat" in label for label in labels)
    assert any("dog" in label for label in labels)
    with pytest.raises(DataError, match="frames"):
        open_eval_clips(path, segment_frames=encoder.segment_frames, frames=10)


def test_a_list_chooses_among_videos(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """A published five-per-class JSON beside a folder of videos: its order, and what is missing is said."""
    entry = {"wav": "x", "video_path": "y", "labels": "z"}
    names = ("vid3", "gone", "vid0")
    path = tmp_path / "five.json"
    path.write_text(json.dumps({"data": [{**entry, "video_id": name} for name in names]}))
    clips = open_videos(videos, encoder, only=path)
    assert clips.names == ["vid3", "vid0"]
    assert clips.rejects == {"gone": "gone is on the list and not among the data"}
    result = measure_retrieval(encoder, clips, clip_embeddings(encoder, clips, tmp_path / "cache"))
    assert result.protocol["gallery"] == 2
    assert any("1 rejects" in note for note in result.notes)
    path.write_text(json.dumps({"data": [{**entry, "video_id": "gone"}]}))
    with pytest.raises(DataError, match="None of the 1 clips"):
        open_videos(videos, encoder, only=path)


def test_vggsound_csv(encoder: Encoder, tmp_path: Path) -> None:
    """Rows of the test split; labels with commas; the row without a file is rejected by name."""
    path = vggsound_csv(tmp_path / "vggsound.csv", tmp_path / "media", 6)
    clips = open_videos(path, encoder, media=tmp_path / "media", split="test")
    assert sorted(clips.names) == ["lost", *(f"vid{number}_000030" for number in (0, 1, 3, 4))]
    found = clip_embeddings(encoder, clips, tmp_path / "cache")
    assert len(found.names) == 4
    assert [Path(name).name for name in found.rejects] == ["lost"]
    assert len(open_videos(path, encoder, media=tmp_path / "media", split="test", per_class=1).indices) == 2
    with pytest.raises(DataError, match="only of test, train"):
        open_videos(path, encoder, media=tmp_path / "media", split="validation")
    with pytest.raises(ConfigError, match="--media"):
        open_videos(path, encoder)
    (tmp_path / "media" / "lost.mkv").write_bytes((tmp_path / "media" / "vid0_000030.mkv").read_bytes())
    whole = clip_embeddings(encoder, open_videos(path, encoder, media=tmp_path / "media"), tmp_path / "cache")
    assert "whole video" in whole.rejects[str(tmp_path / "media" / "lost.mkv")]


@pytest.mark.parametrize(
    ("name", "wanted"), [("a/b/00W_40.000.mp4", "00W_40.000"), ("x/00W_40.000", "00W_40.000"), ("t.tar/key", "key")]
)
def test_names(name: str, wanted: str) -> None:
    assert clip_name(name) == wanted


def test_copies_are_found(videos: Path, encoder: Encoder, tmp_path: Path) -> None:
    """A file twice under two names, and one audio track under another frame."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(3):
        (folder / f"vid{number}.mkv").write_bytes((videos / f"vid{number}.mkv").read_bytes())
    (folder / "again.mkv").write_bytes((folder / "vid1.mkv").read_bytes())
    clips = open_videos(folder, encoder)
    result = measure_retrieval(encoder, clips, clip_embeddings(encoder, clips, tmp_path / "cache"))
    assert result.rows["duplicates"] == [
        {"same": "frames", "clips": ["again", "vid1"]},
        {"same": "audio", "clips": ["again", "vid1"]},
    ]
    assert result.metrics["clips_with_copies"].value == 2
    assert result.metrics["visual_to_audio.diagonal_mean.tied"].value == 0.5


def test_a_model_that_knows_is_perfect(encoder: Encoder, videos: Path) -> None:
    """Ranks reach the result as they were counted: right on one side, and a third wrong on the other."""
    clips = open_videos(videos, encoder)
    base = np.eye(5, 8, dtype=np.float32)[:, None]
    wrong = base[[0, 1, 3, 2, 4]]
    names = clips.names

    def embeddings(audio: np.ndarray) -> ClipEmbeddings:
        return ClipEmbeddings(names, base, audio, names, names, {})

    right = measure_retrieval(encoder, replace(clips, frames=1), embeddings(base))
    assert {m.value for name, m in right.metrics.items() if name.endswith("r_at_1")} == {1.0}
    swapped = measure_retrieval(encoder, replace(clips, frames=1), embeddings(wrong), kinds=["full-mean"])
    assert swapped.metrics["audio_to_visual.full_mean.r_at_1"].value == pytest.approx(3 / 5)
    assert swapped.rows["expected_rank"] == {
        f"{way}.full_mean": [1.0, 1.0, 3.5, 3.5, 1.0] for way in ("visual_to_audio", "audio_to_visual")
    }


def test_the_rule_of_the_joint_blocks_is_part_of_the_protocol(videos: Path, tmp_path: Path) -> None:
    """A result with chained blocks is measured differently from one without; a single block is a chain."""
    save_model(small_model(modality_specific_depth=1), tmp_path / "run", 1)
    results = []
    for name, options in (("default", ()), ("chained", ("--set", "chain_joint_blocks=true"))):
        out = tmp_path / f"{name}.json"
        args = [str(videos), "--model", str(tmp_path / "run"), "--frames", "2", "--no-cache", "--json", str(out)]
        done = CliRunner().invoke(main, ["eval", "retrieval", *args, *options])
        assert done.exit_code == 0, done.output
        results.append(read_result(out))
    assert [result.protocol["joint_blocks_chained"] for result in results] == [False, True]
    found = compare_results(*results)
    assert ("protocol joint_blocks_chained", "False", "True") in found.differences
    assert all(str(row[4]).endswith("measured differently") for row in found.tables[0].rows)
    one = ModelConfig().model_dump()
    assert has_chained_blocks(one)
    assert not has_chained_blocks({**one, "depth": 13})
    assert not has_chained_blocks({})


@pytest.fixture
def command(run: Path, videos: Path, tmp_path: Path) -> Callable[..., Any]:
    def invoke(*options: str) -> Any:
        return CliRunner().invoke(main, ["eval", "retrieval", str(videos), "--model", str(run), *options])

    return invoke


def test_command(command: Callable[..., Any], tmp_path: Path) -> None:
    out, page, cache = tmp_path / "r.json", tmp_path / "r.html", tmp_path / "cache"
    done = command("--frames", "2", "--cache", str(cache), "--json", str(out), "--html", str(page))
    assert done.exit_code == 0, done.output
    assert "diagonal-mean" in done.output
    result = read_result(out)
    assert result.protocol["gallery"] == 5
    assert result.provenance.models[0].kind == "run"
    assert result.provenance.data[0].count == 5
    assert "<svg" in page.read_text()
    assert len(list(cache.iterdir())) == 1
    for options, status in (
        (("--cache", str(cache), "--no-cache"), 2),
        (("--media", str(tmp_path)), 2),
        (("--json", str(tmp_path / "none" / "r.json")), 2),
        (("--per-class", "1", "--no-cache"), 1),
        (("--similarity", "cosine"), 2),
        (("--device", "abacus"), 2),
    ):
        done = command(*options)
        assert done.exit_code == status, (options, done.output)
        assert "Traceback" not in done.output
