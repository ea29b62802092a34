"""Presets hold what the papers, the authors' scripts and their logs say; overrides reach the right record."""

import math
from pathlib import Path

import pytest
import torch
from small_models import small_config, small_model

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.flops import count_parameters
from cavsync.model.load import initialise_from
from cavsync.train import PRESETS, override, preset
from cavsync.train.config import TrainConfig
from cavsync.train.schedule import guard_seconds, learning_rate
from cavsync.train.tasks.pretraining import Pretraining

NAMES = (
    *("debug", "demo", "sync-tiny", "sync-face", "sync-base", "cav-mae-sync-base", "cav-mae-base", "cav-mae-scale+"),
    *("cav-mae-scale++", "av-mae", "cav", "vggsound-continuation", "vggsound-from-imagenet", "tg-dp", "probe"),
    *("finetune-audioset-20k", "finetune-audioset-2m", "finetune-vggsound"),
)

# Name: clips a step, rate, epochs, weights of reconstruction and contrast, parameters in millions. The first six from
# the authors' scripts; 191.036 from their logs, less the decoder's 26.536 for CAV; 190.661 the released Sync.
PUBLISHED = {
    "cav-mae-base": (48, 5e-5, 25, 1.0, 0.01, 191.036),
    "cav-mae-scale+": (108, 1e-4, 25, 1.0, 0.01, 191.036),
    "cav-mae-scale++": (256, 2e-4, 25, 1.0, 0.01, 191.036),
    "av-mae": (48, 5e-5, 25, 1.0, 0.0, 191.036),
    "cav": (48, 5e-5, 25, 0.0, 1.0, 191.036 - 26.536),
    "vggsound-continuation": (120, 5e-5, 10, 1.0, 0.01, 191.036),
    "vggsound-from-imagenet": (120, 1e-4, 25, 1.0, 0.01, 191.036),
    "cav-mae-sync-base": (48, 5e-5, 25, 1.0, 0.01, 190.661),
}


def parameters_in_millions(name: str) -> float:
    """Parameter count of a preset's model."""
    return sum(count.total for count in count_parameters(preset(name)[0]).values()) / 1e6


def rates(train: TrainConfig, steps_per_epoch: int = 7) -> list[float]:
    """The rate of every step of a run."""
    steps = train.epochs * steps_per_epoch
    return [learning_rate(train, s, steps_per_epoch=steps_per_epoch, progress=s / steps) for s in range(steps)]


def test_names() -> None:
    """All presets are there, each named as its runs will say; another name is refused with the list."""
    assert set(PRESETS) == set(NAMES)
    assert all(preset(name)[1].preset == name for name in NAMES)
    with pytest.raises(ConfigError, match=r"debug, .*sync-tiny"):
        preset("large")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_recipes(name: str) -> None:
    """Adam as in the scripts, three quarters masked, no position table trained; sizes as published."""
    model, train = preset(name)
    found = (train.batch_clips, train.learning_rate, train.epochs, train.mae_loss_weight, train.contrast_loss_weight)
    assert found == PUBLISHED[name][:5]
    assert parameters_in_millions(name) == pytest.approx(PUBLISHED[name][5], abs=5e-4)
    assert (train.optimizer, train.betas, train.weight_decay) == ("adam", (0.95, 0.999), 5e-7)
    assert (train.mask_ratio_audio, train.mask_ratio_visual, model.mask_mode_audio) == (0.75, 0.75, "unstructured")
    assert (train.instants_per_clip, train.negatives, model.bidirectional_contrast) == (1, "batch", False)
    assert train.frames_per_clip == {416: 16, 1024: 10}[model.audio_length]
    assert model.has_decoder is (train.mae_loss_weight > 0)
    assert not model.tr_pos


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_schedules(name: str) -> None:
    """The rates of PyTorch's MultiStepLR at 10, 15, 20 finished epochs, which the scripts use; and by hand."""
    train = preset(name)[1]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PUBLISHED[name][1])
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(range(10, 1000, 5)), gamma=0.5)
    wanted = []
    for _ in range(PUBLISHED[name][2]):
        wanted += [scheduler.get_last_lr()[0]] * 7
        optimizer.step()
        scheduler.step()
    assert rates(train) == pytest.approx(wanted)
    by_hand = [1.0] * 10 + [0.5] * 5 + [0.25] * 5 + [0.125] * 5
    assert [rate / PUBLISHED[name][1] for rate in rates(train)[::7]] == pytest.approx(by_hand[: train.epochs])


def test_cav_mae_is_noisy() -> None:
    """CAV-MAE's loader adds up to 0.1 to features of spread 1 and rolls them by up to their length; Sync's does not."""
    for name in PUBLISHED:
        model, train = preset(name)
        noise, shift = train.augmentation.feature_noise / 4.4849, train.augmentation.time_shift_frames
        assert (noise, shift) == ((0.0, 0) if "sync" in name else (pytest.approx(0.1), model.audio_length))
        assert model.norm_pix_loss is ("sync" not in name)


def test_continuation_needs_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the AudioSet checkpoint the run stops instead of starting from nothing."""
    monkeypatch.chdir(tmp_path)
    start = preset("vggsound-continuation")[1].init_from
    assert start == "cav-mae-scale++.pth"
    with pytest.raises(CheckpointError, match=r"cav-mae-scale\+\+\.pth"):
        initialise_from(small_model(), start)


def test_from_imagenet_needs_its_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the vision-MAE the run stops instead of starting from nothing."""
    monkeypatch.chdir(tmp_path)
    model, train = preset("vggsound-from-imagenet")
    assert model == preset("cav-mae-base")[0]
    with pytest.raises(CheckpointError, match=r"mae_pretrain_vit_base_full\.pth"):
        Pretraining(small_config(), train).initialise(small_model())


def test_tg_dp() -> None:
    """CAV-MAE Sync and its schedule, with a second path at half of the patches and a teacher."""
    model, train = preset("tg-dp")
    base, base_train = preset("cav-mae-sync-base")
    assert model == base.model_copy(update={"bidirectional_contrast": True})
    assert (train.contrast_mask, train.contrast_mask_ratio, train.epochs) == ("teacher", 0.5, 35)
    assert (train.teacher_decay, train.teacher_decay_end, train.distil_loss_weight) == (0.996, 1.0, 0.01)
    rest = {name: getattr(base_train, name) for name in ("learning_rate", "batch_clips", "betas", "mae_loss_weight")}
    assert {name: getattr(train, name) for name in rest} == rest


def test_sync_base() -> None:
    """ViT-B on tubelets and half a second of audio; other moments of the clip as negatives, far ones first."""
    model, train = preset("sync-base")
    assert (model.embed_dim, model.num_heads, model.depth, model.modality_specific_depth) == (768, 12, 12, 11)
    assert (model.img_size, model.num_frames, model.frame_differences, model.audio_length) == (224, 5, True, 48)
    # Released Sync without its 26.4 M decoder, with 12 more channels per patch, fewer audio positions, a temperature.
    position_rows, channels = (26 - 3) * 8, 12
    more = 16 * 16 * channels * 768 + 1 - position_rows * 768
    decoder = count_parameters(preset("cav-mae-sync-base")[0])["decoder"].total
    assert parameters_in_millions("sync-base") == pytest.approx(190.660864 - (decoder - more) / 1e6, abs=1e-6)
    # A vision-MAE needs the linear embedding.
    assert not model.conv_stem
    assert (train.negatives, train.instants_per_clip >= 16) == ("clip", True)
    assert (train.mae_loss_weight, train.mask_ratio_audio, train.mask_ratio_visual) == (0.0, 0.0, 0.0)
    assert model.bidirectional_contrast
    assert model.learnable_temperature
    # Some negatives are left at the start, and a neighbour of 30 frames per second is one at the end.
    assert guard_seconds(train, 0.0) < (train.instants_per_clip - 1) * train.instant_spacing_seconds / 2
    assert guard_seconds(train, 1.0) < 1 / 30


def test_sync_base_schedule() -> None:
    """Linear to 2e-4 over 2,000 steps, then a cosine down to a fiftieth."""
    train = preset("sync-base")[1]

    def rate(step: int, progress: float) -> float:
        return learning_rate(train, step, steps_per_epoch=2813, progress=progress)

    assert rate(0, 0.0) == pytest.approx(1e-7)
    assert rate(999, 0.0) == pytest.approx(1e-4)
    for progress in (0.1, 0.25, 0.5, 0.75, 1.0):
        wanted = 4e-6 + (2e-4 - 4e-6) * (1 + math.cos(math.pi * progress)) / 2
        assert rate(20_000, progress) == pytest.approx(wanted)


def test_sync_tiny_draws_several_instants() -> None:
    """What teaches time is on, and the model is small."""
    _, train = preset("sync-tiny")
    assert train.instants_per_clip > 1
    assert train.negatives == "clip"
    assert parameters_in_millions("sync-tiny") < 5


def test_override() -> None:
    """Each key changes the record that knows it; unknown keys and bad values are refused by a sentence."""
    model, train = override(*preset("debug"), {"embed_dim": 96, "batch_clips": 2})
    assert (model.embed_dim, train.batch_clips) == (96, 2)
    with pytest.raises(ConfigError, match="Unknown option 'batchclips'"):
        override(*preset("debug"), {"batchclips": 2})
    with pytest.raises(ConfigError, match="batch_clips"):
        override(*preset("debug"), {"batch_clips": 0})
