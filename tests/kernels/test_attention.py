"""Both ways to attend give the written definition's numbers and gradients."""

import numpy as np
import pytest
import torch

from cavsync.kernels import attention
from cavsync.kernels.attention import SHORT_SEQUENCE_TOKENS


def by_hand(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Softmax attention of float64 arrays (B, H, N, D)."""
    scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ value


@pytest.mark.parametrize("tokens", [1, 7, SHORT_SEQUENCE_TOKENS, SHORT_SEQUENCE_TOKENS + 1, 217])
def test_values_and_gradients(tokens: int) -> None:
    """On both sides of the limit between the two paths."""
    generator = torch.Generator().manual_seed(tokens)
    inputs = [torch.randn(2, 3, tokens, 16, generator=generator, requires_grad=True) for _ in range(3)]
    mixed = attention(*inputs)
    want = by_hand(*(item.detach().double().numpy() for item in inputs))
    np.testing.assert_allclose(mixed.detach().numpy(), want, atol=2e-6)
    weight = torch.randn(mixed.shape, generator=generator)
    (mixed * weight).sum().backward()
    doubles = [item.detach().double().requires_grad_() for item in inputs]
    scores = doubles[0] @ doubles[1].transpose(-1, -2) / 4
    (torch.softmax(scores, dim=-1) @ doubles[2] * weight).sum().backward()
    for got, exact in zip(inputs, doubles, strict=True):
        torch.testing.assert_close(got.grad.double(), exact.grad, atol=5e-6, rtol=1e-5)
