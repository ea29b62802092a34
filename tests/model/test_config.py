"""Configurations that make no model are refused with one sentence that says what to do."""

import pytest
from pydantic import ValidationError
from small_models import SIZES, small_config

from cavsync.errors import ConfigError
from cavsync.model import ModelConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_length": 100}, "audio_length is 100, which is not a multiple of patch_size 16: use 96"),
        ({"img_size": 5}, "img_size is 5, .* use 16"),
        ({"patch_size": 24, "audio_length": 96}, "must divide the 128 mel bins"),
        ({"num_heads": 3}, "embed_dim 32 is not a multiple of num_heads 3"),
        ({"decoder_num_heads": 3}, "decoder_embed_dim 16 is not a multiple"),
        ({"embed_dim": 30, "num_heads": 2}, "multiple of 4"),
        ({"modality_specific_depth": 3}, "leaves no joint block"),
        ({"cls_token": False, "global_local_losses": True}, "needs a global token"),
        ({"mask_ratio_range": (0.9, 0.6)}, "swap the two"),
        ({"mask_ratio_choices": ()}, "mask_ratio_choices is empty"),
        ({"mask_mode_visual": "time"}, "mask_mode_visual"),
        ({"in_chans": 1}, "in_chans"),
        ({"embed_dims": 1}, "Unknown model option 'embed_dims'"),
        ({"contrastive_temperature": 0.0}, "contrastive_temperature"),
        ({"mask_ratio_range": (0.5, 1.0)}, "mask_ratio_range.1"),
    ],
)
def test_bad_values_are_refused(changes, message) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        ModelConfig(**(SIZES | changes))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_json_round_trip_and_text_values() -> None:
    config = small_config(mask_ratio_choices=(0.5, 0.8), mask_mode_audio="time")
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    assert ModelConfig.model_validate({**SIZES, "embed_dim": "64", "norm_pix_loss": "true"}).norm_pix_loss


def test_configurations_are_immutable() -> None:
    with pytest.raises(ValidationError):
        small_config().embed_dim = 64  # type: ignore[misc]


def test_no_decoder_means_no_demands_on_its_size() -> None:
    assert small_config(has_decoder=False, decoder_num_heads=3).has_decoder is False
