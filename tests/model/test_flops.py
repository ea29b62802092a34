"""Counted operations and parameters, against sums by hand, the whole forward, the published sizes and costs."""

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from small_models import TUBELETS, small_config, small_inputs
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from cavsync.errors import ConfigError
from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.config import CAV_MAE, CAV_MAE_SYNC
from cavsync.model.flops import (
    ParameterCount,
    classification_flops,
    count_parameters,
    encoder_flops,
    pretraining_flops,
)
from cavsync.model.masking import ContrastPath
from cavsync.model.plain import plain_loss

GIGA = 1e9
BATCH = 2

# Wide enough that what is left out (norms, softmax, logits) stays small beside the products.
WIDE = {"embed_dim": 64, "num_heads": 4, "decoder_embed_dim": 32, "decoder_num_heads": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "no_global_token": {"cls_token": False, "num_register_tokens": 0},
    "registers_kept": {"keep_register_tokens": True},
    "heads": {"contrastive_heads": True},
    "two_joint_blocks": {"modality_specific_depth": 1},
    "two_chained": {"modality_specific_depth": 1, "chain_joint_blocks": True},
    "narrow_mlp": {"mlp_ratio": 2.5},
    "time_masks": {"mask_mode_audio": "time"},
    "tubelet": {"num_frames": 3, "frame_differences": True},
    "stem": {"conv_stem": True},
    "drawn_ratios": {"multi_ratio_masking": True, "mask_ratio_choices": (0.5,)},
}
OBJECTIVES = {"both": (1.0, 0.01), "reconstruction": (1.0, 0.0), "contrast": (0.0, 1.0)}


def counted(run: Callable[[], Any]) -> float:
    """Operations per pair as PyTorch counts them while `run` computes BATCH pairs; attention as plain products."""
    with use_backend("reference", "attention"), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / BATCH


def blocks(depth: int, tokens: int, dim: int, hidden: int) -> int:
    """By hand: query, key, value and projection; two attention products; two layers of the MLP."""
    return depth * (2 * tokens * dim * (4 * dim + 2 * hidden) + 2 * 2 * tokens * tokens * dim)


def repeated(depth: int, tokens: int, dim: int, hidden: int) -> int:
    """What activation checkpointing repeats: all but the last product, on which no gradient depends."""
    return blocks(depth, tokens, dim, hidden) - depth * 2 * tokens * dim * hidden


def sequences(config: ModelConfig, audio: int, frame: int, both: bool = True) -> list[tuple[int, int, int, int]]:
    """Depth, tokens, width and hidden width of every stack of blocks, for so many visible patches."""
    dim, hidden = config.embed_dim, int(config.embed_dim * config.mlp_ratio)
    extra, kept = config.num_register_tokens, config.num_register_tokens * config.keep_register_tokens
    chained = config.joint_depth if config.chain_joint_blocks else 1
    found = [(config.modality_specific_depth, n + config.cls_token + extra, dim, hidden) for n in (audio, frame)]
    found += [
        (chained + 2 * config.contrastive_heads, n + config.cls_token + kept, dim, hidden) for n in (audio, frame)
    ]
    if both:
        dim, hidden = config.decoder_embed_dim, int(config.decoder_embed_dim * config.mlp_ratio)
        found.append((config.joint_depth, audio + frame + 2 * kept, *found[0][2:]))
        found.append((config.decoder_depth, prod(config.audio_grid) + prod(config.visual_grid), dim, hidden))
    return found


def patch_embedding(config: ModelConfig, audio: int, frame: int) -> int:
    """One product for all visible patches of each modality."""
    return 2 * config.embed_dim * config.patch_size**2 * (audio + frame * config.visual_channels)


def decoder_ends(config: ModelConfig, visible: int) -> int:
    """The layer before the decoder, on visible tokens, and its pixel heads, on all patches."""
    pixels = config.patch_size**2 * (prod(config.audio_grid) + prod(config.visual_grid) * config.visual_channels)
    return 2 * config.decoder_embed_dim * (visible * config.embed_dim + pixels)


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"stem"}))
def test_forward_by_hand(name: str) -> None:
    """Of 8 x 5 audio and 3 x 3 frame patches, 10 and 4 are visible, whole columns 8, at drawn ratios 20 and 4."""
    options = OPTIONS[name]
    config = small_config(**{**WIDE, **options})
    audio, frame = (20 if config.multi_ratio_masking else 8 if "mask_mode_audio" in options else 10), 4
    expected = patch_embedding(config, audio, frame) + decoder_ends(config, audio + frame)
    expected += sum(blocks(*stack) for stack in sequences(config, audio, frame))
    found = pretraining_flops(config, 0.75, 0.5)
    assert found.forward == expected
    # Inputs get no gradient; both operands of every other product do.
    assert found.training == 3 * expected - patch_embedding(config, audio, frame)
    again = pretraining_flops(config, 0.75, 0.5, activation_checkpointing=True)
    assert again.forward == expected
    assert again.training - found.training == sum(repeated(*stack) for stack in sequences(config, audio, frame))


def test_stem_by_hand() -> None:
    """Four stride-2 layers on a whole image: 24 channels of 5 x 5, then 24, 32 and 64 of 3 x 3, and a last one."""
    config = small_config(**WIDE, conv_stem=True)
    layers = [(1, 24, 25, 64), (24, 24, 9, 16), (24, 32, 9, 4), (32, 64, 9, 1), (64, 64, 1, 1)]
    expected = {
        "audio": sum(2 * before * after * area * share * 40 for before, after, area, share in layers),
        "visual": sum(
            2 * before * after * area * share * 9 for before, after, area, share in [(3, *layers[0][1:]), *layers[1:]]
        ),
    }
    specific = [blocks(*stack) for stack in sequences(config, 10, 4)[:2]]
    found = pretraining_flops(config, 0.75, 0.5)
    assert (found.audio, found.visual) == (expected["audio"] + specific[0], expected["visual"] + specific[1])


def test_embedding_by_hand() -> None:
    """Each encoder alone, unmasked."""
    for options in ({}, {"cls_token": False}, {"contrastive_heads": True, "keep_register_tokens": True}):
        config = small_config(**{**WIDE, **options})
        stacks = [blocks(*stack) for stack in sequences(config, 40, 9, both=False)]
        assert encoder_flops(config) == (
            patch_embedding(config, 40, 0) + stacks[0] + stacks[2],
            patch_embedding(config, 0, 9) + stacks[1] + stacks[3],
        )


def test_classification_by_hand() -> None:
    """Nothing is masked; one modality takes its own stream, both the joint one; a frozen encoder goes forward only."""
    config = small_config(**WIDE)
    audio, visual, _, _, joint, _ = (blocks(*stack) for stack in sequences(config, 40, 9))
    whole = classification_flops(config)
    embedding = patch_embedding(config, 40, 0), patch_embedding(config, 0, 9)
    assert (whole.audio, whole.visual) == (embedding[0] + audio, embedding[1] + visual)
    assert (whole.joint, whole.decoder) == (joint, 0)
    assert whole.training == 3 * whole.forward - sum(embedding)
    assert classification_flops(config, freeze_encoder=True).training == whole.forward
    for mode, alone in zip(("audio-only", "visual-only"), encoder_flops(config), strict=True):
        found = classification_flops(config, mode)
        assert found.forward == alone == found.audio + found.visual


@pytest.mark.parametrize("weights", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_parts_are_the_whole_forward(options: dict[str, Any], weights: tuple[float, float]) -> None:
    """Every option that changes the number of tokens, blocks or channels; within 1 %, for the contrastive logits."""
    config = small_config(**{**WIDE, **options})
    model, inputs = CAVMAESync(config), small_inputs(config, batch=BATCH)
    found = pretraining_flops(config, 0.75, 0.5, *weights).forward
    assert found == pytest.approx(counted(lambda: model(*inputs, 0.75, 0.5, *weights)), rel=0.01)


@pytest.mark.parametrize("weights", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("name", ["default", "registers_kept", "two_joint_blocks", "time_masks", "drawn_ratios"])
def test_a_second_pass_counts(name: str, weights: tuple[float, float]) -> None:
    """The contrast's own pass at half of the patches, where there is a contrast."""
    config = small_config(**{**WIDE, **OPTIONS[name]})
    model, inputs, path = CAVMAESync(config), small_inputs(config, batch=BATCH), ContrastPath(0.5)
    found = pretraining_flops(config, 0.75, 0.5, *weights, contrast_mask_ratio=path.mask_ratio)
    expected = counted(lambda: model(*inputs, 0.75, 0.5, *weights, contrast_path=path))
    assert found.forward == pytest.approx(expected, rel=0.01)


def test_step_is_that_of_the_loss() -> None:
    """The released size, from its own loss."""
    with FakeTensorMode():
        model, inputs = CAVMAESync(CAV_MAE_SYNC), small_inputs(CAV_MAE_SYNC, batch=BATCH)
        measured = counted(lambda: model(*inputs).loss.backward())
    assert pretraining_flops(CAV_MAE_SYNC).training == pytest.approx(measured, rel=1e-4)


def test_stated_costs_of_the_released_size() -> None:
    """75.0 GFLOP per embedded pair, 38.6 of them audio's; 45.3 per pretraining pair of the plain forward."""
    audio, visual = encoder_flops(CAV_MAE_SYNC)
    assert (audio + visual) / GIGA == pytest.approx(75.0, abs=0.1)
    assert (audio / GIGA, visual / GIGA) == (pytest.approx(38.6, abs=0.05), pytest.approx(36.5, abs=0.05))
    found = pretraining_flops(CAV_MAE_SYNC).forward
    # The plain forward embeds hidden patches too.
    hidden = patch_embedding(CAV_MAE_SYNC, 156, 147)
    assert (found + hidden) / GIGA == pytest.approx(45.3, abs=0.05)
    with FakeTensorMode():
        model, inputs = CAVMAESync(CAV_MAE_SYNC), small_inputs(CAV_MAE_SYNC, batch=BATCH)
        plain = counted(lambda: plain_loss(model, *inputs))
    assert found + hidden == pytest.approx(plain, rel=1e-4)


def test_the_environment_changes_no_count() -> None:
    """Kernels that the counter cannot see into are not used, and no random number is drawn."""
    config, before = small_config(**WIDE), torch.get_rng_state()
    with use_backend("triton"), use_backend("triton", "attention"):
        found = pretraining_flops(config), encoder_flops(config)
    assert found == (pretraining_flops(config), encoder_flops(config))
    assert torch.equal(before, torch.get_rng_state())


def test_parameters_of_the_published_models() -> None:
    """CAV-MAE's training log prints 191.036 million, 190.130 of them trained; Sync has 190.66 in 650 tensors."""
    for config, total, trained in ((CAV_MAE, 191.036, 190.130), (CAV_MAE_SYNC, 190.661, 190.144)):
        parts = count_parameters(config).values()
        assert sum(part.total for part in parts) / 1e6 == pytest.approx(total, abs=5e-4)
        assert sum(part.trained for part in parts) / 1e6 == pytest.approx(trained, abs=5e-4)


def test_parameters_by_part() -> None:
    """The stated 78.4 M audio, 78.8 M visual, 7.1 M joint and 26.4 M decoder; nothing counts twice or is left out."""
    parts = count_parameters(CAV_MAE_SYNC)
    stated = {"audio": 78.4, "visual": 78.8, "joint": 7.1, "decoder": 26.4}
    assert {part: round(count.total / 1e6, 1) for part, count in parts.items()} == stated
    for options in ({}, TUBELETS, {"contrastive_heads": True, "learnable_temperature": True, "tr_pos": True}):
        config = small_config(**options)
        model, found = CAVMAESync(config), count_parameters(config)
        assert sum(count.total for count in found.values()) == sum(p.numel() for p in model.parameters())
        assert (found["decoder"] == ParameterCount(0, 0)) is not config.has_decoder
        if config.tr_pos:
            assert all(count.total == count.trained for count in found.values())


def test_masking_saves_and_bad_ratios_are_refused() -> None:
    """More hidden patches cost less; a ratio of 1 hides everything."""
    costs = [pretraining_flops(small_config(), ratio, ratio).forward for ratio in (0.0, 0.5, 0.9)]
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(ConfigError, match="mask ratio"):
        pretraining_flops(small_config(), 1.0)
    with pytest.raises(ConfigError, match="no decoder"):
        pretraining_flops(small_config(**TUBELETS))
