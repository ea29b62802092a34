"""InfoNCE of every backend against loops, and its gradients against the specification in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.kernels import info_nce, reference, symmetric_info_nce, use_backend
from cavsync.kernels.torch.info_nce import OnePassInfoNce

BACKENDS = ("triton", "torch", "reference")
# queries, keys, index of the first positive, width
SHAPES = [(1, 1, 0, 16), (1, 70, 69, 48), (7, 9, 2, 96), (49, 49, 0, 33), (66, 150, 60, 520), (5, 300, 64, 5)]
MASKS = {"none": None, "some": 0.4, "all": 1.0}


def vectors(count: int, num_keys: int, width: int, share: float | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Queries, keys that resemble them here and there, and pairs to ignore."""
    generator = torch.Generator().manual_seed(count + num_keys + width)
    queries = torch.randn(count, width, generator=generator)
    keys = torch.randn(num_keys, width, generator=generator)
    return queries, keys, None if share is None else torch.rand(count, count, generator=generator) < share


def by_loops(
    queries: np.ndarray, keys: np.ndarray, temperature: float, first_positive: int, ignore: np.ndarray
) -> tuple[float, float]:
    """Loss and accuracy from the definition; ignore refers to the own keys."""
    losses, hits = [], []
    for i, query in enumerate(queries):
        logits = {}
        for j, key in enumerate(keys):
            own = j - first_positive
            if own == i or not (0 <= own < len(queries) and ignore[i, own]):
                cosine = query @ key / (np.linalg.norm(query) * np.linalg.norm(key))
                logits[j] = float(cosine) / temperature
        losses.append(math.log(sum(map(math.exp, logits.values()))) - logits[first_positive + i])
        hits.append(max(logits, key=logits.__getitem__) == first_positive + i)
    return float(np.mean(losses)), float(np.mean(hits))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 6),
    before=st.integers(0, 70),
    after=st.integers(0, 3),
    share=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_against_loops(seed: int, count: int, before: int, after: int, share: float) -> None:
    random = np.random.default_rng(seed)
    queries, keys = random.standard_normal((count, 6)), random.standard_normal((before + count + after, 6))
    ignore = random.random((count, count)) < share
    expected = by_loops(queries, keys, 0.07, before, ignore)
    tensors = [torch.from_numpy(item.astype(np.float32)) for item in (queries, keys)]
    for backend in BACKENDS:
        with use_backend(backend):
            loss, accuracy = info_nce(*tensors, 0.07, before, torch.from_numpy(ignore))
        assert loss.item() == pytest.approx(expected[0], rel=1e-4, abs=1e-5)
        assert accuracy.item() == pytest.approx(expected[1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("share", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape: tuple, share: float | None, backend: str) -> None:
    """Of queries, keys and temperature."""
    count, num_keys, first_positive, width = shape
    queries, keys, ignore = vectors(count, num_keys, width, share)
    ours = [item.clone().requires_grad_() for item in (queries, keys, torch.tensor(0.1))]
    exact = [item.double().requires_grad_() for item in (queries, keys, torch.tensor(0.1))]
    with use_backend(backend):
        loss, accuracy = info_nce(*ours, first_positive, ignore)
    wanted, wanted_accuracy = reference.info_nce(*exact, first_positive, ignore)
    (3 * loss).backward()
    (3 * wanted).backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(accuracy, wanted_accuracy.float())
    # Where only the positive is left, exact gradients are 0: rounding is measured against the vectors' own size.
    for item, other in zip(ours, exact, strict=True):
        assert_exact(item.grad, other.grad, torch.float32, scale=10 * count**-0.5)


@pytest.mark.parametrize("chunk_rows", [1, 7, 49, 100])
def test_chunks_do_not_change_the_numbers(chunk_rows: int) -> None:
    queries, keys, ignore = vectors(49, 120, 32, 0.3)
    results = []
    for rows in (chunk_rows, 49):
        leaves = [F.normalize(item, dim=-1).requires_grad_() for item in (queries, keys)]
        loss, accuracy = OnePassInfoNce.apply(*leaves, torch.tensor(0.1), 5, ignore, rows, True)
        loss.backward()
        results.append((loss, accuracy, *(leaf.grad for leaf in leaves)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_go_to_the_first_key(backend: str) -> None:
    """As argmax does: equal to another key, a positive wins only if it comes first."""
    key = torch.randn(8, generator=torch.Generator().manual_seed(0))
    with use_backend(backend):
        assert info_nce(key[None], key.expand(200, 8).contiguous(), 0.1)[1].item() == 1
        assert info_nce(key[None], key.expand(200, 8).contiguous(), 0.1, first_positive=199)[1].item() == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_of_equals_wins(backend: str) -> None:
    """33 queries are their own positives. The keys from 32 on are one vector, so that the rest only ties."""
    queries, _, _ = vectors(64, 64, 96, None)
    keys = torch.cat([queries[:32], queries[32:33].expand(40, 96)])
    with use_backend(backend):
        assert info_nce(queries, keys, 0.05)[1].item() == 33 / 64


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_pair_is_zero_with_a_gradient(backend: str) -> None:
    query = torch.randn(1, 4, requires_grad=True)
    with use_backend(backend):
        loss, accuracy = info_nce(query, torch.randn(1, 4), 0.05, ignore=torch.ones(1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert accuracy.item() == 1
    assert query.grad is not None
    assert query.grad.isfinite().all()


@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_a_loss_near_zero_keeps_its_digits(backend: str) -> None:
    """Orthogonal pairs at a temperature of 0.05: 63 negatives of exp(-20) each, which float32 loses beside 1."""
    units = torch.eye(64, requires_grad=True)
    with use_backend(backend):
        loss, _ = info_nce(units, torch.eye(64), 0.05)
    loss.backward()
    exact = torch.eye(64, dtype=torch.float64, requires_grad=True)
    wanted, _ = reference.info_nce(exact, torch.eye(64, dtype=torch.float64), torch.tensor(0.05, dtype=torch.float64))
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert units.grad is not None
    # The length of a vector does not matter: only the part across it counts.
    across = exact.grad - exact.detach() * (exact.grad * exact.detach()).sum(dim=1, keepdim=True)
    torch.testing.assert_close(units.grad.double(), across, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_gradients_none_are_computed(backend: str) -> None:
    units = torch.eye(8, requires_grad=True)
    with use_backend(backend):
        with torch.no_grad():
            loss, _ = info_nce(units, units, 0.1)
        with_gradient, _ = info_nce(units, units, 0.1)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, with_gradient.detach())


@pytest.mark.parametrize("backend", BACKENDS)
def test_stays_in_float32_under_autocast(backend: str) -> None:
    """The backward too, also where it is called inside the autocast region."""
    queries, keys, _ = vectors(8, 8, 64, None)
    grads = []
    for enabled in (False, True):
        leaf = queries.clone().requires_grad_()
        with use_backend(backend), torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss, _ = info_nce(leaf, keys, 0.05)
            assert loss.dtype is torch.float32
            if backend == "reference":
                break
            loss.backward()
        grads.append(leaf.grad)
    if grads:
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_directions_and_non_contiguous_vectors(backend: str) -> None:
    queries, keys, ignore = vectors(20, 20, 24, 0.3)
    strided = torch.stack([queries, keys], dim=2).unbind(2)
    with use_backend(backend):
        loss, accuracy = symmetric_info_nce(*strided, 0.2, ignore)
    ways = [(queries, keys, ignore.numpy()), (keys, queries, ignore.T.numpy())]
    expected = [by_loops(a.double().numpy(), b.double().numpy(), 0.2, 0, mask) for a, b, mask in ways]
    assert loss.item() == pytest.approx(np.mean([item[0] for item in expected]), rel=1e-5)
    assert accuracy.item() == pytest.approx(np.mean([item[1] for item in expected]))
