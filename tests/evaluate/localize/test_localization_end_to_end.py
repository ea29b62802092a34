"""Generated clips, a short training run, its figures beside chance: where sounds are seen, what is filled in."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated_clips import make_clips

from cavsync.data.sources.clips import open_source
from cavsync.evaluate.inpaint.measure import inpaint, sweep
from cavsync.evaluate.inputs.decoder import open_decoder
from cavsync.evaluate.inputs.encoders import open_encoder
from cavsync.evaluate.localize.data_sets import open_localization_set
from cavsync.evaluate.localize.measure import CENTRE, METHODS, MODEL, OTHER_AUDIO, RANDOM, localize
from cavsync.train import Trainer, override, preset

pytestmark = pytest.mark.slow

KEYS: dict[str, Any] = {
    "families": ["keys"], "duration_seconds": 5.0, "size": (96, 96), "clutter": 0.0, "fps": Fraction(15),
}  # fmt: skip
# One still picture in patches of 8 of 64 pixels, one block: what a patch says stays where it is seen. Moments of one
# clip, a quarter of a second apart, are one another's negatives, so the keys that are lit decide.
LOCALIZE: dict[str, Any] = {
    "embed_dim": 64, "num_heads": 2, "depth": 1, "modality_specific_depth": 0, "patch_size": 8, "conv_stem": False,
    "num_frames": 1, "frame_differences": False, "batch_clips": 4, "instants_per_clip": 16,
    "instant_spacing_seconds": 0.25, "mirror": 0.0, "crop_area": (1.0, 1.0), "colour": 0.0, "frequency_mask_bins": 0,
    "max_steps": 250,
}  # fmt: skip
INPAINT: dict[str, Any] = {"batch_clips": 16, "learning_rate": 3e-3, "max_steps": 250}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Clips to train on, and others with masks."""
    root = tmp_path_factory.mktemp("keys")
    return make_clips(root / "train", 32, seed=1, **KEYS), make_clips(root / "test", 24, seed=2, masks=4, **KEYS)


def test_sounds_are_found_in_pictures(clips: tuple[Path, Path], tmp_path: Path) -> None:
    """Within a picture: mean cIoU at least 1.25 times that of random maps and of another clip's sound, and above the
    centre prior's. Over all pictures: average precision 1.1 times the random one's and 1.2 times the other sound's."""
    Trainer(*override(*preset("demo"), LOCALIZE), tmp_path / "run").run(clips[0])
    scores = localize(open_encoder(tmp_path / "run"), open_localization_set(clips[1]))
    precision = scores.average_precision["keys"]
    ciou = {method: np.mean([found[method] for found in scores.ciou.values()]) for method in METHODS}
    assert len(scores.ciou) > 60
    assert ciou[MODEL] > 1.25 * max(ciou[RANDOM], ciou[OTHER_AUDIO])
    assert ciou[MODEL] > ciou[CENTRE]
    assert precision[MODEL] > 1.1 * precision[RANDOM]
    assert precision[MODEL] > 1.2 * precision[OTHER_AUDIO]


def test_hidden_patches_are_filled_in(clips: tuple[Path, Path], tmp_path: Path) -> None:
    """Three quarters hidden: the error in the sound is at least a tenth below that of the visible patches' mean."""
    Trainer(*override(*preset("debug"), INPAINT), tmp_path / "run").run(clips[0])
    _, model = open_decoder(tmp_path / "run")
    source = open_source(clips[1], frames_per_clip=10, segment_frames=model.config.audio_length)
    masks = sweep([0.75], ["unstructured"])
    scores = inpaint(model, source, masks, indices=range(len(source.names)), moments_per_clip=2)
    audio, picture = scores.errors[(masks[0], "audio")], scores.errors[(masks[0], "visual")]
    assert np.mean(audio["model"]) < 0.9 * np.mean(audio["baseline"])
    assert np.mean(picture["model"]) < np.mean(picture["baseline"])
