"""Inpainting over a data set: which masks, whose errors, what is written, what is refused."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fake_bundle import write_fake_bundle
from generated_clips import make_clips
from PIL import Image
from small_models import small_model

from cavsync.cli.main import main
from cavsync.data.sources.clips import open_source
from cavsync.errors import ConfigError, DataError
from cavsync.evaluate.inpaint.measure import MASK_MODES, InpaintScores, inpaint, sweep
from cavsync.evaluate.inpaint.result import NORM_PIX_NOTE, inpaint_result
from cavsync.evaluate.inputs.decoder import open_decoder
from cavsync.evaluate.results.provenance import provenance
from cavsync.evaluate.results.result import read_result
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.model.masking import mask_shape


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_clips(tmp_path_factory.mktemp("inpaint") / "clips", 3, families=["keys"], size=(96, 96))
    (folder / "zzz.mp4").write_bytes(b"nothing")
    return folder


def _inpaint(model: CAVMAESync, clips: Path, **options: object) -> InpaintScores:
    source = open_source(clips, frames_per_clip=10, segment_frames=model.config.audio_length)
    masks = sweep([0.5, 0.75])
    return inpaint(model.eval(), source, masks, indices=range(len(source.names)), **options)  # type: ignore[arg-type]


def test_every_layout_and_ratio_has_errors(clips: Path) -> None:
    """One error per clip; masks hide what whole lines allow; what cannot be read is named."""
    model = small_model()
    scores = _inpaint(model, clips, moments_per_clip=2)
    assert len(scores.names) == 3
    assert [Path(name).name for name in scores.rejects] == ["zzz.mp4"]
    assert len(scores.errors) == 2 * 2 * len(MASK_MODES)
    for (mask, modality), found in scores.errors.items():
        assert {name: len(values) for name, values in found.items()} == {"model": 3, "baseline": 3, "trained": 3}
        grid = model.config.audio_grid if modality == "audio" else model.config.visual_grid
        mode = mask.mode if modality == "audio" else "unstructured"
        visible = np.prod(mask_shape(grid, mask.ratio_audio, mode)) / np.prod(grid)
        assert scores.hidden_share[(mask, modality)] == pytest.approx(1 - visible)


def test_masks_are_the_same_for_every_model(clips: Path) -> None:
    """Equal seeds hide equal patches whatever the weights, so the baseline, which needs no weights, is equal too."""
    first, other = (_inpaint(small_model(seed=seed), clips) for seed in (0, 1))
    for key, found in first.errors.items():
        assert found["baseline"] == other.errors[key]["baseline"]
        assert found["model"] != other.errors[key]["model"]
    again = _inpaint(small_model(seed=0), clips, seed=1)
    assert any(again.errors[key]["baseline"] != found["baseline"] for key, found in first.errors.items())


def test_the_frames_may_stay_visible(clips: Path) -> None:
    model = small_model().eval()
    source = open_source(clips, frames_per_clip=10, segment_frames=80)
    scores = inpaint(model, source, sweep([0.75], ["time"], other_ratio=0.0), indices=[0])
    assert [modality for _, modality in scores.errors] == ["audio"]
    result_provenance = provenance(models=[], data=[])
    result = inpaint_result(
        scores, sweep([0.75], ["time"], 0.0), result_provenance, norm_pix_loss=False, moments_per_clip=1, channels=None
    )
    assert result.tables[0].rows[0][4] is None
    assert not result.notes


@pytest.mark.parametrize("ratios", [[], [0.0], [1.0], [0.5, float("nan")], [-0.1]])
def test_ratios_that_make_no_sense(ratios: list[float]) -> None:
    with pytest.raises(ConfigError, match="--ratios"):
        sweep(ratios)
    with pytest.raises(ConfigError, match="frame's mask ratio"):
        sweep([0.5], other_ratio=1.0)


def test_models_that_cannot_inpaint(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="encoders only"):
        open_decoder(write_fake_bundle(tmp_path / "bundle"))
    save_model(small_model(has_decoder=False), tmp_path / "run", step=0)
    with pytest.raises(ConfigError, match="no decoder"):
        open_decoder(tmp_path / "run")
    (clips.parent / "bad").mkdir(exist_ok=True)
    (clips.parent / "bad" / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match="No clip could be inpainted"):
        _inpaint(small_model(), clips.parent / "bad")


def test_a_published_file_must_say_what_it_predicts(tmp_path: Path) -> None:
    """Its shapes do not tell normalised patches from plain ones: nothing is assumed."""
    path = tmp_path / "cav_mae_sync.pth"
    torch.save({f"module.{name}": value for name, value in small_model().state_dict().items()}, path)
    with pytest.raises(ConfigError, match="norm_pix_loss=true"):
        open_decoder(path, num_heads=2, decoder_num_heads=2)
    for said in (True, False):
        _, model = open_decoder(path, num_heads=2, decoder_num_heads=2, norm_pix_loss=said)
        assert model.config.norm_pix_loss == said


@pytest.mark.parametrize("published", [False, True])
def test_command(published: bool, clips: Path, tmp_path: Path) -> None:
    """From a run and from a published file: table, JSON, page, frames of three parts, audio of the right length."""
    model = small_model(norm_pix_loss=published)
    options = []
    if published:
        path = tmp_path / "cav_mae_sync.pth"
        torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, path)
        for option in ("num_heads=2", "decoder_num_heads=2", "norm_pix_loss=true"):
            options += ["--set", option]
    else:
        path = tmp_path / "run"
        save_model(model, path, step=0)
    options += [
        "--channels",
        "first",
        "--ratios",
        "0.5,0.8",
        "--mode",
        "time",
        "--mode",
        "frequency",
        "--clips",
        "3",
        "--examples",
        "1",
    ]
    files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, ["eval", "inpaint", str(clips), "--model", str(path), *options, *files])
    assert done.exit_code == 0, done.output
    result = read_result(tmp_path / "r.json")
    assert result.protocol["channels"] == "the first channel, as published"
    assert str(result.protocol["segments"]).startswith("by time")
    assert (NORM_PIX_NOTE in result.notes) == published
    assert ("audio/time/0.5/trained_mse" in result.metrics) == published
    assert result.metrics["visual/unstructured/0.8/beside-frequency/mse"].value is not None
    assert [Path(str(name)).name for name in cast(list[str], result.rows["clips"])] == [
        f"{number:05d}-keys.mp4" for number in range(len(cast(list[str], result.rows["clips"])))
    ]
    assert result.rows.keys() - {"clips"} == result.metrics.keys()
    for name, metric in result.metrics.items():
        assert metric.value == pytest.approx(np.mean(cast(list[float], result.rows[name])))
    assert [len(plot.curves) for plot in result.plots] == [4, 4]
    written = {file.suffixes[-2] + file.suffix for file in (tmp_path / "out").iterdir()}
    assert written == {".picture.png", ".sound.png", ".griffin-lim.wav", ".inpainted.wav"}
    with Image.open(next((tmp_path / "out").glob("*.picture.png"))) as board:
        assert board.size == (3 * 240 + 2 * 4, 240)
    assert (tmp_path / "r.html").read_text().count("data:image/png") == 2


def test_unreadable_numbers_are_bad_usage(clips: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["eval", "inpaint", str(clips), "--model", str(tmp_path), "--ratios", "half"])
    assert done.exit_code == 2
    assert "0.5,0.75" in done.output
