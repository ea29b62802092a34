"""Counted operations and parameters, against PyTorch's counter, the published sizes and the stated costs."""

from collections.abc import Callable
from typing import Any

import pytest
from small_models import TUBELETS, small_config, small_inputs
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from cavsync.errors import ConfigError
from cavsync.kernels import use_backend
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.block import Block
from cavsync.model.config import CAV_MAE, CAV_MAE_SYNC
from cavsync.model.flops import ParameterCount, block_flops, count_parameters, encoder_flops, pretraining_flops
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


@pytest.mark.parametrize("weights", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_forward_is_what_pytorch_counts(options: dict, weights: tuple[float, float]) -> None:
    """Every option that changes the number of tokens, blocks or channels; within a hundredth."""
    config = small_config(**{**WIDE, **options})
    model, inputs = CAVMAESync(config), small_inputs(config, batch=BATCH)
    found = pretraining_flops(config, 0.75, 0.5, *weights).forward
    assert found == pytest.approx(counted(lambda: model(*inputs, 0.75, 0.5, *weights)), rel=0.01)


def test_embedding_is_what_pytorch_counts() -> None:
    """Each encoder alone, with and without a global token, a stem, heads."""
    for options in ({}, TUBELETS, {"contrastive_heads": True, "keep_register_tokens": True}):
        config = small_config(**{**WIDE, **options})
        model, (fbank, frames) = CAVMAESync(config).eval(), small_inputs(config, batch=BATCH)
        audio, visual = encoder_flops(config)
        assert audio == pytest.approx(counted(lambda: model.encode_audio(fbank)), rel=0.01)  # noqa: B023
        assert visual == pytest.approx(counted(lambda: model.encode_frames(frames)), rel=0.01)  # noqa: B023


@pytest.mark.parametrize("recompute", [False, True])
def test_training_step_is_what_pytorch_counts(recompute: bool) -> None:
    """Forward and backward, of the released size without memory or arithmetic; a stem's input layer weighs more."""
    stem = small_config(**{**WIDE, "embed_dim": 256, "conv_stem": True})
    for config, tolerance in ((CAV_MAE_SYNC, 0.01), (stem, 0.02)):
        with FakeTensorMode():
            model, inputs = CAVMAESync(config), small_inputs(config, batch=BATCH)
            for block in (module for module in model.modules() if isinstance(module, Block)):
                block.recompute = recompute
            measured = counted(lambda: model(*inputs).loss.backward())  # noqa: B023
        assert pretraining_flops(config).training(recompute) == pytest.approx(measured, rel=tolerance)


def test_stated_costs_of_the_released_size() -> None:
    """75.0 GFLOP per embedded pair, 38.6 of them audio's; 45.3 per pretraining pair, which PyTorch counts too."""
    audio, visual = encoder_flops(CAV_MAE_SYNC)
    assert (audio + visual) / GIGA == pytest.approx(75.0, abs=0.1)
    assert (audio / GIGA, visual / GIGA) == (pytest.approx(38.6, abs=0.05), pytest.approx(36.5, abs=0.05))
    found = pretraining_flops(CAV_MAE_SYNC).forward
    assert found / GIGA == pytest.approx(45.3, rel=0.01)
    with FakeTensorMode():
        model, inputs = CAVMAESync(CAV_MAE_SYNC), small_inputs(CAV_MAE_SYNC, batch=BATCH)
        plain = counted(lambda: plain_loss(model, *inputs))
    # The plain forward embeds hidden patches too.
    assert found == pytest.approx(plain, rel=0.01)
    assert found < plain


def test_block() -> None:
    """Ten tokens of width 8: 2 · 10 · (4 · 64 + 2 · 8 · 32) for the layers, 2 · 2 · 100 · 8 for attention."""
    assert block_flops(10, 8, 4.0) == 2 * 10 * (4 * 64 + 2 * 8 * 32) + 2 * 2 * 100 * 8


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
    costs = [pretraining_flops(ModelConfig(), ratio, ratio).forward for ratio in (0.0, 0.5, 0.9)]
    assert costs == sorted(costs, reverse=True)
    with pytest.raises(ConfigError, match="mask ratio"):
        pretraining_flops(ModelConfig(), 1.0)
