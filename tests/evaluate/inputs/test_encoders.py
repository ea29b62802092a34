"""Encoders opened from a run, a step, a published .pth and a bundle say the same, and what the model says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exported import lively_run, scratch
from fake_bundle import write_fake_bundle
from small_models import classifier_of, small_model
from torch.nn import functional as F

from cavsync.data.batches import IMAGENET_MEAN, IMAGENET_STD
from cavsync.deploy import Bundle
from cavsync.errors import BundleError, CheckpointError, ConfigError
from cavsync.evaluate.inputs.encoders import Encoder, encoder_of_bundle, open_encoder, open_model
from cavsync.export import export_bundle
from cavsync.model.checkpoint import load_model, save_model
from cavsync.model.classifier import CAVMAEFT


def inputs(encoder: Encoder, count: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    size = (count, encoder.num_frames, encoder.img_size, encoder.img_size, 3)
    segments = random.normal(-5, 4, (count, encoder.segment_frames, 128)).astype(np.float32)
    return segments, random.integers(0, 256, size).astype(np.uint8)


def test_it_is_the_model(tmp_path: Path) -> None:
    """Normalised by hand: log-mel with CAV-MAE's numbers, frames with ImageNet's; pooled vectors of unit length."""
    encoder = open_encoder(lively_run())
    segments, tubelets = inputs(encoder)
    model = load_model(lively_run()).eval()
    with torch.no_grad():
        heard = model.encode_audio((torch.from_numpy(segments) + 5.081) / 4.4849)
        frames = torch.from_numpy(tubelets).permute(0, 1, 4, 2, 3).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        seen = model.encode_frames((frames - mean) / std)
    for found, wanted in ((encoder.embed_audio(segments), heard), (encoder.embed_frames(tubelets), seen)):
        np.testing.assert_allclose(found.pooled, F.normalize(wanted.pooled, dim=-1), atol=1e-5)
        np.testing.assert_allclose(found.patches, wanted.patches, atol=1e-4)
    rows, columns = encoder.visual_grid
    assert encoder.embed_frames(tubelets).patches.shape[1] == rows * columns
    assert encoder.embed_audio(segments).patches.shape[1] == encoder.audio_grid[0] * encoder.audio_grid[1]


def test_batches_change_nothing() -> None:
    encoder = open_encoder(lively_run())
    segments, tubelets = inputs(encoder)
    for embed, values in ((encoder.embed_audio, segments), (encoder.embed_frames, tubelets)):
        alone = np.concatenate([embed(value[None]).pooled for value in values])  # type: ignore[operator]
        np.testing.assert_allclose(alone, embed(values).pooled, atol=1e-5)  # type: ignore[operator]


@pytest.mark.slow
def test_a_bundle_says_the_same() -> None:
    folder = scratch() / "evaluated-bundle"
    if not folder.exists():
        export_bundle(lively_run(), folder)
    exported, encoder = open_encoder(folder), open_encoder(lively_run())
    assert exported.id.kind == "bundle"
    assert (exported.audio_grid, exported.visual_grid) == (encoder.audio_grid, encoder.visual_grid)
    segments, tubelets = inputs(encoder)
    np.testing.assert_allclose(exported.embed_audio(segments).pooled, encoder.embed_audio(segments).pooled, atol=1e-4)
    np.testing.assert_allclose(exported.embed_frames(tubelets).pooled, encoder.embed_frames(tubelets).pooled, atol=1e-4)


def test_a_bundle_computes_what_is_asked_for(tmp_path: Path) -> None:
    """One run of an engine for the vectors, one for the patches, none for what nobody reads."""
    bundle = Bundle.open(write_fake_bundle(tmp_path / "meter"))
    asked: list[str] = []

    class Engine:
        def run(self, values: np.ndarray, output: str) -> np.ndarray:
            asked.append(output)
            return np.ones((len(values), 2), dtype=np.float32)

    manifest = replace(bundle.manifest, model={"patch_size": 16})
    encoder = encoder_of_bundle(replace(bundle, manifest=manifest, audio=Engine(), visual=Engine()))
    segments, tubelets = inputs(encoder, 2)
    heard, seen = encoder.embed_audio(segments), encoder.embed_frames(tubelets)
    assert asked == []
    assert heard.pooled is heard.pooled
    assert asked == ["embedding"]
    assert seen.patches is seen.patches
    assert asked == ["embedding", "patches"]


def test_a_published_file_and_its_run(tmp_path: Path) -> None:
    """A DataParallel state dict, its head width given; the run made of it gives the same vectors, bit for bit."""
    model = small_model().eval()
    path = tmp_path / "audio_model.pth"
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, path)
    save_model(model, tmp_path / "run", 7)
    options = {"num_heads": 2, "decoder_num_heads": 2}
    published, run = open_encoder(path, **options), open_encoder(tmp_path / "run")
    step = open_encoder(tmp_path / "run" / "checkpoints" / "step-7")
    assert (published.id.kind, run.id.kind) == ("upstream", "run")
    assert run.id.sha256 == step.id.sha256 != published.id.sha256
    assert published.id.details["overrides"] == options
    segments, _ = inputs(run)
    for other in (published, step):
        np.testing.assert_array_equal(other.embed_audio(segments).pooled, run.embed_audio(segments).pooled)


def test_a_published_file_may_lie_in_a_folder_of_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    path = tmp_path / "checkpoints" / "audio_model.pth"
    torch.save({f"module.{name}": value for name, value in small_model().state_dict().items()}, path)
    assert open_model(path, num_heads=2, decoder_num_heads=2)[0].kind == "upstream"


def test_a_classifier_has_encoders_too(tmp_path: Path) -> None:
    save_model(classifier_of(small_model(), 3), tmp_path / "run", 1)
    assert isinstance(open_model(tmp_path / "run")[1], CAVMAEFT)
    encoder = open_encoder(tmp_path / "run")
    assert encoder.embed_audio(inputs(encoder)[0]).pooled.shape == (5, 32)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    save_model(small_model(), tmp_path / "run", 1)
    (tmp_path / "note.pth").write_text("no weights")
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        open_encoder(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_encoder(tmp_path / "note.pth")
    with pytest.raises(CheckpointError, match="not a run"):
        open_encoder(tmp_path)
    with pytest.raises(CheckpointError, match="no step 9"):
        open_encoder(tmp_path / "run" / "checkpoints" / "step-9")
    with pytest.raises(CheckpointError, match="not a step of a run"):
        open_encoder(tmp_path / "run" / "checkpoints" / "step-last")
    with pytest.raises(ConfigError, match="leave them out"):
        open_encoder(tmp_path / "run", num_heads=4)
    with pytest.raises(ConfigError, match="cannot be used"):
        open_encoder(tmp_path / "run", device="abacus")
    with pytest.raises(BundleError, match="patch_size"):
        open_encoder(write_fake_bundle(tmp_path / "meter"))
