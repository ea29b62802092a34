"""Every way to attend gives the written definition's numbers and gradients."""

import numpy as np
import pytest
import torch
from exactness import assert_exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.kernels import Segments, attention, reference, use_backend
from cavsync.kernels.triton.attention import attention_backward_op, attention_op

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
ODD_LENGTHS = (1, 7, 49, 58, 61, 101, 119, 217, 404, 513)
JOINT = ((2, 53), (2, 50), (2, 101))


def random_qkv(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Queries, keys and values with scores spread enough for sharp weights."""
    return (1.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))).to(dtype)


def check(qkv: Tensor, segments: Segments | None, backend: str) -> None:
    """Values and gradients of a backend against the specification on the same numbers in float64."""
    ours, exact = qkv.detach().requires_grad_(), qkv.detach().double().requires_grad_()
    with use_backend(backend):
        mixed = attention(ours, segments)
    wanted = reference.attention(exact, segments)
    upstream = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).to(qkv.dtype)
    mixed.backward(upstream)
    wanted.backward(upstream.double())
    assert mixed.dtype == qkv.dtype
    assert ours.grad is not None
    assert exact.grad is not None
    assert_exact(mixed, wanted, qkv.dtype)
    # With a single token the weights are constant: the exact gradients of query and key are 0.
    assert_exact(ours.grad, exact.grad, qkv.dtype)


def by_hand(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Softmax attention of one head, float64 arrays (N, D)."""
    scores = query @ key.T / np.sqrt(query.shape[-1])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ value


def test_the_specification_is_a_softmax_average_within_each_sequence() -> None:
    qkv = random_qkv(9, 3, 2, 5).double()
    mixed = reference.attention(qkv, Segments.from_lengths([4, 0, 5]))
    for part in (slice(0, 4), slice(4, 9)):
        for head in range(2):
            query, key, value = qkv[part, :, head].unbind(1)
            np.testing.assert_allclose(mixed[part, head], by_hand(query.numpy(), key.numpy(), value.numpy()))
    dense = reference.attention(qkv[:8].unflatten(0, (2, 4)))
    torch.testing.assert_close(dense.flatten(0, 1), reference.attention(qkv[:8], Segments.uniform(2, 4)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("length", [pytest.param(n, marks=[pytest.mark.slow] if n > 500 else []) for n in ODD_LENGTHS])
def test_triton_at_odd_lengths(length: int, dtype: torch.dtype) -> None:
    check(random_qkv(length, 3, 2, 32, dtype=dtype), Segments.uniform(1, length), "triton")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head_dim", [16, 32, 48, 64, 80, 128])
def test_triton_at_every_head_width(head_dim: int, dtype: torch.dtype) -> None:
    """Short and long kernels in one call, with an empty and a one-token sequence between."""
    segments = Segments.from_lengths([61, 0, 1, 130, 20])
    check(random_qkv(segments.num_tokens, 3, 1, head_dim, dtype=dtype), segments, "triton")


@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("runs", [JOINT, ((0, 5), (3, 7)), ((2, 0), (1, 1)), ((1, 130), (2, 3))])
def test_packings(runs: tuple, backend: str) -> None:
    segments = Segments(runs)
    check(random_qkv(segments.num_tokens, 3, 2, 32), segments, backend)


@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("length", [1, 17, 64, 65, 140])
def test_dense(length: int, backend: str) -> None:
    check(random_qkv(2, length, 3, 2, 32), None, backend)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=6), heads=st.integers(1, 3))
def test_drawn_packings(lengths: list[int], heads: int) -> None:
    if sum(lengths) == 0:
        lengths = [*lengths, 1]
    segments = Segments.from_lengths(lengths)
    assert segments.cu_seqlens().diff().tolist() == lengths
    qkv = random_qkv(segments.num_tokens, 3, heads, 16)
    for backend in ("triton", "torch"):
        check(qkv, segments, backend)


@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.sampled_from([3, 90, 129, 200]), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_a_sequence_never_sees_another(lengths: list[int], seed: int) -> None:
    """Changing one sequence leaves the others' results the same to the last bit."""
    segments = Segments.from_lengths(lengths)
    qkv = random_qkv(segments.num_tokens, 3, 1, 16)
    changed = qkv.clone()
    changed[: lengths[0]] = torch.randn(lengths[0], 3, 1, 16, generator=torch.Generator().manual_seed(seed))
    with use_backend("triton"):
        before, after = attention(qkv, segments), attention(changed, segments)
    assert torch.equal(before[lengths[0] :], after[lengths[0] :])


@pytest.mark.parametrize("length", [49, 140])
def test_non_contiguous_inputs(length: int) -> None:
    """Strided tokens and heads are read in place, a strided last dimension is copied; an expanded gradient too."""
    wide = random_qkv(length, 2, 3, 2, 64)[:, 1, :, :, ::2]
    check(wide, Segments.uniform(1, length), "triton")
    swapped = random_qkv(length, 2, 3, 32).transpose(1, 2)
    check(swapped, Segments.uniform(1, length), "triton")
    qkv = random_qkv(length, 3, 2, 32).requires_grad_()
    with use_backend("triton"):
        attention(qkv, Segments.uniform(1, length)).sum().backward()
    first, qkv.grad = qkv.grad, None
    reference.attention(qkv, Segments.uniform(1, length)).sum().backward()
    torch.testing.assert_close(first, qkv.grad, rtol=1e-4, atol=1e-5)


# Rows of padding overflow before they are masked or left unwritten.
@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("length", [61, 140])
def test_very_low_and_very_high_scores(length: int) -> None:
    """Scores of thousands overflow a softmax that does not subtract the largest; padded keys must not leak either."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(32, generator=generator)
    for sign in (-1, 1):
        qkv = 0.1 * torch.randn(length, 3, 1, 32, generator=generator)
        qkv[:, 0] += 30 * direction
        qkv[:, 1] += sign * 30 * direction
        ours, exact = qkv.clone().requires_grad_(), qkv.double().requires_grad_()
        with use_backend("triton"):
            mixed = attention(ours, Segments.uniform(1, length))
        wanted = reference.attention(exact, Segments.uniform(1, length))
        mixed[:, 0, 0].sum().backward()
        wanted[:, 0, 0].sum().backward()
        torch.testing.assert_close(mixed.double(), wanted, rtol=1e-2, atol=1e-3)
        assert ours.grad is not None
        assert ours.grad.isfinite().all()


def test_no_tokens_at_all() -> None:
    for backend in ("triton", "torch", "reference"):
        with use_backend(backend):
            assert attention(torch.zeros(0, 3, 2, 32), Segments(((3, 0),))).shape == (0, 2, 32)


def test_segments_must_cover_the_tokens() -> None:
    with pytest.raises(ValueError, match="hold 6 tokens, but qkv has 5"):
        attention(torch.zeros(5, 3, 1, 32), Segments.uniform(2, 3))
    with pytest.raises(ValueError, match="negative"):
        Segments.from_lengths([5, -2])


@pytest.mark.parametrize("lengths", [[7, 7, 20], [140]])
def test_operators_are_registered_soundly(lengths: list[int]) -> None:
    """Schema, fake tensors, autograd and tracing of both operators."""
    segments = Segments.from_lengths(lengths)
    counts, sizes = [c for c, _ in segments.runs], [n for _, n in segments.runs]
    qkv = random_qkv(sum(lengths), 3, 2, 16)
    torch.library.opcheck(attention_op, (qkv.clone().requires_grad_(), counts, sizes))
    out, lse = attention_op(qkv, counts, sizes)
    torch.library.opcheck(attention_backward_op, (torch.randn_like(out), qkv, out, lse, counts, sizes))
