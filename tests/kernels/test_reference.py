"""Reference operations against numpy written out as loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.kernels import attention, info_nce, layer_norm, masked_reconstruction_loss, patchify, unpatchify

quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**16)


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@quick
@given(seed=seeds, length=st.integers(1, 9), width=st.sampled_from([1, 4, 7]))
def test_attention_is_a_softmax_average(seed: int, length: int, width: int) -> None:
    query, key, value = (_normal(seed + i, 1, 2, length, width) for i in range(3))
    expected = np.zeros_like(value)
    for head in range(2):
        for i in range(length):
            scores = [float(query[0, head, i] @ key[0, head, j]) / math.sqrt(width) for j in range(length)]
            weights = np.exp(np.array(scores) - max(scores))
            expected[0, head, i] = (weights / weights.sum()) @ value[0, head]
    ours = attention(*map(torch.from_numpy, (query, key, value)))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-5)


@quick
@given(seed=seeds, width=st.integers(2, 40))
def test_layer_norm(seed: int, width: int) -> None:
    x, weight, bias = _normal(seed, 3, width), _normal(seed + 1, width), _normal(seed + 2, width)
    expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight + bias
    ours = layer_norm(*map(torch.from_numpy, (x, weight, bias)))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-3, atol=1e-4)


@quick
@given(seed=seeds, channels=st.integers(1, 6), rows=st.integers(1, 4), columns=st.integers(1, 4))
def test_patchify_orders_row_column_channel(seed: int, channels: int, rows: int, columns: int) -> None:
    size = 2
    images = _normal(seed, 2, channels, rows * size, columns * size)
    patches = patchify(torch.from_numpy(images), size)
    for r in range(rows):
        for c in range(columns):
            expected = [
                images[1, k, r * size + p, c * size + q]
                for p in range(size)
                for q in range(size)
                for k in range(channels)
            ]
            np.testing.assert_array_equal(patches[1, r * columns + c].numpy(), expected)
    np.testing.assert_array_equal(unpatchify(patches, (rows, columns), size).numpy(), images)


@quick
@given(seed=seeds, num_patches=st.integers(1, 6), norm_pix=st.booleans())
def test_reconstruction_loss_averages_hidden_patches(seed: int, num_patches: int, norm_pix: bool) -> None:
    prediction, target = _normal(seed, 2, num_patches, 5), 3 * _normal(seed + 1, 2, num_patches, 5) + 1
    mask = np.random.default_rng(seed).random((2, num_patches)) < 0.5
    errors = []
    for item in range(2):
        for patch in range(num_patches):
            wanted = target[item, patch].astype(np.float64)
            if norm_pix:
                wanted = (wanted - wanted.mean()) / math.sqrt(wanted.var(ddof=1) + 1e-6)
            if mask[item, patch]:
                errors.append(np.mean((prediction[item, patch] - wanted) ** 2))
    ours = masked_reconstruction_loss(*map(torch.from_numpy, (prediction, target, mask)), norm_pix)
    assert ours.item() == pytest.approx(np.mean(errors) if errors else 0.0, rel=1e-4)


def _info_nce_by_loops(queries, keys, temperature, first_positive, ignore):
    losses, hits = [], []
    for i, query in enumerate(queries):
        logits = {}
        for j, key in enumerate(keys):
            if j == first_positive + i or not ignore[i, j]:
                cosine = query @ key / (np.linalg.norm(query) * np.linalg.norm(key))
                logits[j] = float(cosine) / temperature
        losses.append(math.log(sum(map(math.exp, logits.values()))) - logits[first_positive + i])
        hits.append(max(logits, key=logits.__getitem__) == first_positive + i)
    return np.mean(losses), np.mean(hits)


@quick
@given(seed=seeds, num_queries=st.integers(1, 5), before=st.integers(0, 3), after=st.integers(0, 3))
def test_info_nce(seed: int, num_queries: int, before: int, after: int) -> None:
    queries, keys = _normal(seed, num_queries, 6), _normal(seed + 1, before + num_queries + after, 6)
    ignore = np.random.default_rng(seed).random((len(queries), len(keys))) < 0.4
    expected = _info_nce_by_loops(queries, keys, 0.07, before, ignore)
    loss, accuracy = info_nce(
        torch.from_numpy(queries), torch.from_numpy(keys), 0.07, first_positive=before, ignore=torch.from_numpy(ignore)
    )
    assert loss.item() == pytest.approx(expected[0], rel=1e-4, abs=1e-5)
    assert accuracy.item() == pytest.approx(expected[1])


def test_info_nce_of_one_pair_is_zero_with_a_gradient() -> None:
    query = torch.randn(1, 4, requires_grad=True)
    loss, accuracy = info_nce(query, torch.randn(1, 4), 0.05, ignore=torch.ones(1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert accuracy.item() == 1
    assert query.grad is not None
    assert query.grad.isfinite().all()


def test_losses_stay_in_float32_under_autocast() -> None:
    queries, keys = torch.randn(8, 64), torch.randn(8, 64)
    plain, _ = info_nce(queries, keys, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed, _ = info_nce(queries, keys, 0.05)
    assert mixed.dtype is torch.float32
    torch.testing.assert_close(mixed, plain)


def test_gradients_are_exact() -> None:
    torch.manual_seed(0)
    queries, keys = (torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    target = torch.randn(2, 3, 5)
    prediction = torch.randn(2, 3, 5, requires_grad=True)
    masked_reconstruction_loss(prediction, target, torch.tensor([[True, False, True]] * 2)).backward()
    assert prediction.grad is not None
    assert (prediction.grad[:, 1] == 0).all()
    torch.testing.assert_close(prediction.grad[:, 0], 2 * (prediction.detach() - target)[:, 0] / (5 * 4))
    info_nce(queries, keys, 0.5)[0].backward()
    step = 1e-3
    moved = queries.detach().clone()
    moved[1, 2] += step
    difference = (info_nce(moved, keys, 0.5)[0] - info_nce(queries, keys, 0.5)[0]) / step
    assert queries.grad is not None
    assert queries.grad[1, 2].item() == pytest.approx(difference.item(), rel=2e-2, abs=1e-3)
