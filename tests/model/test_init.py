"""Weights start as in MAE."""

import math

import pytest
from small_models import small_model


def test_weights_start_as_in_mae() -> None:
    model = small_model(embed_dim=128, num_heads=2)
    qkv = model.blocks_a[0].attn.qkv
    limit = math.sqrt(6 / (128 + 3 * 128))
    assert qkv.weight.abs().max().item() == pytest.approx(limit, rel=1e-2)
    assert (qkv.bias == 0).all()
    assert model.modality_a.std().item() == pytest.approx(0.02, rel=0.3)
