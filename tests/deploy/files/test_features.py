"""Features of files: against whole clips embedded by hand, in both formats, of bundles, checkpoints and shards."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from counting_engine import CountingEngine
from numpy.typing import NDArray
from opened_shards import make_foreign, opened
from small_models import TUBELETS, small_model
from sync_clips import write_clip_folder

from cavsync.cli.main import main
from cavsync.data.clip import load_clip
from cavsync.data.clip_audio import Waveform
from cavsync.data.shards import PackOptions
from cavsync.data.shards.pack import pack
from cavsync.deploy import Bundle
from cavsync.deploy.files import features as features_module
from cavsync.deploy.files.features import file_features
from cavsync.evaluate.inputs.encoders import encoder_of_bundle, open_encoder
from cavsync.media.align import num_log_mel_frames
from cavsync.model.checkpoint import save_model


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips in a folder, and one below it."""
    return write_clip_folder(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def tiny() -> Bundle:
    """The bundle that comes with cavsync."""
    return Bundle.open(threads=1)


def embed(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["embed", *map(str, arguments)])


def by_hand(path: Path, encoder: Any) -> dict[str, NDArray[Any]]:
    """Embed every frame of a clip with the nearest frames around it and the segment that is centred nearest to it."""
    clip = load_clip(path, encoder.img_size)
    assert isinstance(clip.audio, Waveform)
    log_mel = clip.audio.log_mel().features
    times, length = clip.pts_seconds, encoder.segment_frames
    found: dict[str, list[Any]] = {name: [] for name in ("visual", "audio", "visual_patches", "audio_patches")}
    for moment in times:
        steps = (np.arange(encoder.num_frames) - encoder.num_frames // 2) * encoder.frame_step_seconds
        tubelet = [clip.frames[np.array([np.abs(times - moment - step).argmin()])][0] for step in steps]
        visual = encoder.embed_frames(np.stack(tubelet).transpose(0, 2, 3, 1)[None])
        found["visual"].append(visual.pooled[0])
        found["visual_patches"].append(visual.patches[0])
        # Frame m of the log-mel covers 25 ms from 10 m ms on; ties go to the earlier segment.
        centres = clip.audio_start_seconds + (np.arange(-length, len(log_mel)) + (length - 1) / 2) * 0.01 + 0.0125
        start = int(np.round(np.abs(centres - moment), 9).argmin()) - length
        is_whole = start >= 0 and start + length <= num_log_mel_frames(len(clip.audio.samples))
        segment = log_mel[start : start + length] if is_whole else np.zeros((length, 128), np.float32)
        audio = encoder.embed_audio(segment[None])
        found["audio"].append(audio.pooled[0] if is_whole else np.full_like(audio.pooled[0], np.nan))
        found["audio_patches"].append(audio.patches[0] if is_whole else np.full_like(audio.patches[0], np.nan))
    return {"times_seconds": times, **{name: np.stack(values) for name, values in found.items()}}


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    table = pq.read_table(path)
    shapes = json.loads(table.schema.metadata[b"shapes"])
    found = {}
    for name in table.column_names:
        rows = table[name].to_pylist()
        width = int(np.prod(shapes[name]))
        filled = [[np.nan] * width if row is None else row for row in rows]
        found[name] = np.array(filled, np.float64).reshape(len(rows), *shapes[name])
    return found


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_against_clips_embedded_by_hand(kind: str, clips: Path, tiny: Bundle, tmp_path: Path) -> None:
    """Every array of every file, its times, its place, and where it comes from."""
    result = embed(clips, "--out", tmp_path / "out", "--format", kind, "--patches")
    assert result.exit_code == 0, result.output
    assert "3 of 3 inputs" in result.output
    made = json.loads((tmp_path / "out" / "embeddings.json").read_text())
    assert made["model"]["name"] == "sync-tiny"
    for name in ("a.mkv", "b.mkv", "more/a.mkv"):
        path = tmp_path / "out" / f"{name}.{kind}"
        if kind == "npz":
            with np.load(path) as archive:
                assert json.loads(str(archive["provenance"])) == {**made, "source": str(clips / name)}
                found = {field: archive[field] for field in archive.files if field != "provenance"}
        else:
            found = read_parquet(path)
        wanted = by_hand(clips / name, encoder_of_bundle(tiny))
        assert found.keys() == wanted.keys()
        assert 0 < np.isnan(wanted["audio"][:, 0]).sum() < len(wanted["audio"]) / 2
        for field, values in wanted.items():
            np.testing.assert_allclose(found[field], values, atol=2e-3 if field.endswith("patches") else 2e-4)


def test_a_checkpoint(clips: Path, tmp_path: Path) -> None:
    """A run gives what its torch model gives, at another rate of frames."""
    save_model(small_model(seed=2, **TUBELETS), tmp_path / "run", 0)
    result = embed(clips / "a.mkv", "--out", tmp_path / "out", "--model", tmp_path / "run", "--frame-rate", 5)
    assert result.exit_code == 0, result.output
    wanted = by_hand(clips / "a.mkv", open_encoder(tmp_path / "run"))
    with np.load(tmp_path / "out" / "a.mkv.npz") as found:
        assert {*found.files} == {"provenance", "times_seconds", "visual", "audio"}
        np.testing.assert_allclose(np.diff(found["times_seconds"]), 0.2, atol=1e-6)
        places = [int(np.abs(wanted["times_seconds"] - moment).argmin()) for moment in found["times_seconds"]]
        for field in ("visual", "audio"):
            np.testing.assert_allclose(found[field], wanted[field][places], atol=1e-4)


def test_what_is_there_is_not_computed_again(
    clips: Path, tiny: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted command says so and leaves whole files only; repeated, it computes the rest."""
    seen: list[str] = []

    def interrupted(path: str, *rest: Any, **options: Any) -> Any:
        seen.append(Path(path).name)
        for place, features in enumerate(file_features(path, *rest, **options)):
            if len(seen) == 2 and place == 1:
                os.kill(os.getpid(), signal.SIGTERM)
            yield features

    monkeypatch.setattr(features_module, "file_features", interrupted)
    out = tmp_path / "out"
    result = embed(clips, "--out", out)
    assert result.exit_code == 143
    assert f"1 of 3 inputs are in {out}; the same command continues" in result.output
    assert {path.name for path in out.rglob("*") if path.is_file()} == {"embeddings.json", "a.mkv.npz"}
    again = embed(clips, "--out", out)
    assert again.exit_code == 0, again.output
    assert seen == ["a.mkv", "b.mkv", "b.mkv", "a.mkv"]


def test_what_has_changed_is_computed_again(clips: Path, tmp_path: Path) -> None:
    """An input written over, and one that an older file was moved to; not those that are as they were."""
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(clips, source)
    assert embed(source, "--out", out).exit_code == 0
    target, kept = out / "a.mkv.npz", (out / "b.mkv.npz").read_bytes()
    older = Path(shutil.copyfile(clips / "more" / "a.mkv", tmp_path / "older.mkv"))
    os.utime(older, (1e9, 1e9))
    for change in (shutil.copyfile, shutil.move):
        before = target.read_bytes()
        change(clips / "b.mkv" if change is shutil.copyfile else older, source / "a.mkv")
        assert embed(source, "--out", out).exit_code == 0
        assert target.read_bytes() != before
        assert (out / "b.mkv.npz").read_bytes() == kept
    with np.load(target) as found, np.load(out / "more" / "a.mkv.npz") as wanted:
        assert np.array_equal(found["visual"], wanted["visual"])


def test_other_features_are_not_mixed_in(clips: Path, tmp_path: Path) -> None:
    """Another model, other options, a folder of something else, and two inputs of one name are refused."""
    assert embed(clips / "a.mkv", "--out", tmp_path / "out").exit_code == 0
    other = embed(clips / "a.mkv", "--out", tmp_path / "out", "--patches")
    assert (other.exit_code, "by another option" in other.output) == (2, True)
    save_model(small_model(seed=2, **TUBELETS), tmp_path / "run", 0)
    other = embed(clips / "a.mkv", "--out", tmp_path / "out", "--model", tmp_path / "run")
    assert (other.exit_code, "by another model" in other.output) == (2, True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert embed(clips / "a.mkv", "--out", tmp_path / "full").exit_code == 2
    twice = embed(clips / "a.mkv", clips / "more" / "a.mkv", "--out", tmp_path / "two")
    assert (twice.exit_code, "would both become" in twice.output) == (2, True)


def test_a_bad_input_costs_itself(clips: Path, tmp_path: Path) -> None:
    """It is named, leaves no file, and the others are embedded."""
    (tmp_path / "bad.mkv").write_bytes(b"nothing")
    result = embed(tmp_path / "bad.mkv", clips / "a.mkv", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "bad.mkv" in result.output
    assert "1 of 2 inputs" in result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"embeddings.json", "a.mkv.npz"}


def test_patches_cost_no_second_computation(clips: Path, tiny: Bundle) -> None:
    """Each graph sees each frame and each segment once, with patches and without."""
    counts = []
    for patches in (False, True):
        visual, audio = CountingEngine(tiny.visual), CountingEngine(tiny.audio)
        found = file_features(clips / "a.mkv", replace(tiny, visual=visual, audio=audio), patches=patches)
        assert sum(len(features.times_seconds) for features in found) == visual.num_inputs
        counts.append((visual.num_inputs, audio.num_inputs))
    assert counts[0] == counts[1] == (50, 50)


def test_shards(clips: Path, tiny: Bundle, tmp_path: Path) -> None:
    """Clips of shards are embedded as those of files are, next to files, and a repeated command computes nothing."""
    pack(clips, tmp_path / "shards", PackOptions(shard_clips=2), workers=1)
    folder = opened(tmp_path / "shards")
    result = embed(tmp_path / "shards", clips / "b.mkv", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "4 of 4 inputs" in result.output
    for index, name in enumerate(folder.names):
        with np.load(tmp_path / "out" / f"{Path(name).relative_to(tmp_path / 'shards')}.npz") as found:
            made = found["provenance"]
            assert json.loads(str(made))["source"] == name
            wanted = [*file_features(clips / folder.file_of(index), tiny)]
            for field in ("times_seconds", "visual", "audio"):
                expected = np.concatenate([getattr(features, field) for features in wanted])
                np.testing.assert_allclose(found[field], expected, atol=1e-6 if field == "times_seconds" else 0.1)
                if field != "times_seconds":
                    cosines = (found[field] * expected).sum(-1)
                    assert cosines[~np.isnan(cosines)].min() > 0.99
                    np.testing.assert_array_equal(np.isnan(cosines), np.isnan(expected[:, 0]))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert embed(tmp_path / "shards", clips / "b.mkv", "--out", tmp_path / "out").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_key_that_leads_out_is_refused(tmp_path: Path) -> None:
    """A tar may hold any name."""
    (tmp_path / "shards").mkdir()
    make_foreign(tmp_path / "shards" / "a.tar", ["../../evil"])
    result = embed(tmp_path / "shards", "--out", tmp_path / "out")
    assert (result.exit_code, "has '..' in its key" in result.output) == (1, True)
