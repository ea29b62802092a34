"""InfoNCE's Triton kernels in the interpreter: what the tests of all backends leave out, and how much is launched."""

from itertools import product

import pytest
import torch
from counted_launches import counted_launches
from exactness import assert_exact
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavsync.errors import BackendError
from cavsync.kernels import info_nce, reference, use_backend
from cavsync.kernels.triton.info_nce import MAX_WIDTH, MIN_BLOCK, info_nce_backward_op, info_nce_op


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def with_gradients(
    backend: str, leaves: list[Tensor], asked: tuple[bool, ...], first_positive: int = 0, ignore: Tensor | None = None
) -> list[Tensor | None]:
    """Loss, accuracy and the gradients of queries, keys and temperature, None of those that are not asked for.

    The specification is evaluated in float64.
    """
    exact = backend == "reference"
    fresh = [
        (leaf.detach().double() if exact else leaf.detach().clone()).requires_grad_(wanted)
        for leaf, wanted in zip(leaves, asked, strict=True)
    ]
    if exact:
        loss, accuracy = reference.info_nce(*fresh, first_positive, ignore)
    else:
        with use_backend(backend, "info_nce"):
            loss, accuracy = info_nce(*fresh, first_positive, ignore)
    if any(asked):
        (3 * loss).backward()
    return [loss.detach(), accuracy, *(leaf.grad for leaf in fresh)]


def compare(
    leaves: list[Tensor],
    first_positive: int = 0,
    ignore: Tensor | None = None,
    asked: tuple[bool, ...] = (True, True, True),
    dtype: torch.dtype = torch.float32,
    scale: float = 1e-3,
) -> None:
    """The kernels against the specification."""
    ours = with_gradients("triton", leaves, asked, first_positive, ignore)
    exact = with_gradients("reference", leaves, asked, first_positive, ignore)
    assert ours[1].item() == pytest.approx(exact[1].item())
    for one, other in zip(ours[:1] + ours[2:], exact[:1] + exact[2:], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert_exact(one, other, dtype, scale)


@pytest.mark.parametrize("asked", list(product([True, False], repeat=3)), ids=str)
def test_only_what_is_asked_for_is_computed(asked: tuple[bool, ...]) -> None:
    """Of the gradients of queries, keys and temperature."""
    leaves = [normal(9, 20), normal(14, 20), torch.tensor(0.2)]
    compare(leaves, 3, torch.rand(9, 9, generator=torch.Generator().manual_seed(0)) < 0.3, asked)
    with counted_launches() as launched:
        with_gradients("triton", leaves, asked)
    assert launched["aten.mm.out"] == 1 + asked[0]
    assert launched["aten.addmm.out"] == asked[1]
    assert launched["grads_of_rows"] == (asked[0] or asked[1])


@pytest.mark.parametrize("num_keys", [MIN_BLOCK - 1, MIN_BLOCK, MIN_BLOCK + 1, 2 * MIN_BLOCK + 70])
@pytest.mark.parametrize("first_positive", [0, MIN_BLOCK - 2, 2 * MIN_BLOCK])
def test_rows_of_several_steps(num_keys: int, first_positive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The positives of three queries in the first step, in the last one, or on both sides of a border."""
    monkeypatch.setattr("cavsync.kernels.triton.info_nce.MAX_BLOCK", MIN_BLOCK)
    ignore = torch.tensor([[True, True, False], [False, False, True], [True, False, False]])
    first_positive = min(first_positive, num_keys - 3)
    compare([normal(3, 12), normal(num_keys, 12), torch.tensor(0.1)], first_positive, ignore)


@settings(max_examples=20, deadline=None)
@example(seed=146, count=4, before=0, after=1, kinds=3, share=0.0)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 9),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
    kinds=st.integers(1, 4),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_ties(seed: int, count: int, before: int, after: int, kinds: int, share: float) -> None:
    """Vectors along few axes have cosines of 0 and 1 alone: the first of the highest wins, as argmax says.

    Where all keys are alike, terms of size 3 / count (of three times a mean, queries of length 2, a temperature of
    0.5) cancel in the gradient of each query, and what remains is their rounding error.
    """
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.randint(kinds, (size,), generator=generator) for size in (count, before + count + after)]
    leaves = [2.0 * torch.eye(4)[axis] for axis in axes]
    ignore = torch.rand(count, count, generator=generator) < share
    compare([*leaves, torch.tensor(0.5)], before, ignore, scale=3 / count)


@pytest.mark.parametrize("temperature", [1e-4, 1e-2, 30.0])
def test_logits_of_any_size(temperature: float) -> None:
    """Up to 1e4. Gradients are compared as those of logits: the temperature's grows with its inverse."""
    compare([normal(12, 24), normal(30, 24), torch.tensor(temperature)], 5, dtype=torch.float16)


def test_a_sum_of_negatives_around_a_half() -> None:
    """Where the logarithm goes over from its series: as many negatives of exp(-3) as make 0.05 to 2 of them."""
    for num_keys in (2, 8, 10, 11, 12, 13, 40):
        query, keys = torch.eye(64)[:1], torch.eye(64)[:num_keys]
        loss, _ = info_nce_op(query, keys, torch.tensor(1 / 3), 0, None, 1, False, False)[:2]
        wanted, _ = reference.info_nce(query.double(), keys.double(), torch.tensor(1 / 3).double())
        assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("length", [0.0, 1e-16, 1e-12, 1e12])
def test_vectors_of_any_length(length: float) -> None:
    """Shorter than 1e-12 they are divided by that, and no part of the gradient is taken away."""
    queries, keys = normal(4, 8), normal(6, 8)
    queries[1], keys[2] = queries[1] * length, keys[2] * length
    ours = with_gradients("triton", [queries, keys, torch.tensor(0.3)], (True, True, True))
    exact = with_gradients("reference", [queries, keys, torch.tensor(0.3)], (True, True, True))
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_vectors_give_half_precision_gradients(dtype: torch.dtype) -> None:
    leaves = [normal(10, 40).to(dtype), normal(13, 40).to(dtype), torch.tensor(0.2)]
    ours = with_gradients("triton", leaves, (True, True, True), 2)
    exact = with_gradients("reference", leaves, (True, True, True), 2)
    assert [item.dtype for item in ours] == [torch.float32, torch.float32, dtype, dtype, torch.float32]
    # Products and sums are taken in float32: only the stored gradients are rounded.
    for index, kind in ((0, torch.float32), (2, dtype), (3, dtype), (4, torch.float32)):
        assert_exact(ours[index], exact[index], kind, scale=1e-3)


@pytest.mark.parametrize("backend", ["triton", "torch", "reference"])
def test_float64_vectors_are_computed_in_float32(backend: str) -> None:
    queries = normal(5, 8).double().requires_grad_()
    with use_backend(backend):
        loss, accuracy = info_nce(queries, normal(5, 8, seed=1).double(), 0.1)
    loss.backward()
    assert (loss.dtype, accuracy.dtype, queries.grad.dtype) == (torch.float32, torch.float32, torch.float64)


@pytest.mark.parametrize("place", [0, 3, 5])
def test_what_is_not_a_number_stays_so(place: int) -> None:
    """A key that is not a number makes every loss not a number, and no positive beats it."""
    keys = normal(6, 8, seed=1)
    keys[place] = torch.nan
    with use_backend("triton"):
        loss, accuracy = info_nce(normal(3, 8), keys, 0.1, 1)
    assert loss.isnan()
    assert accuracy.item() == 0


@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
def test_the_temperature_keeps_its_shape(shape: tuple[int, ...]) -> None:
    temperature = torch.full(shape, 0.1, requires_grad=True)
    with use_backend("triton"):
        info_nce(normal(4, 8), normal(4, 8, seed=1), temperature)[0].backward()
    assert temperature.grad.shape == shape


@pytest.mark.parametrize("chunk_rows", [1, 7, 48, 49])
def test_chunks_do_not_change_the_numbers(chunk_rows: int) -> None:
    queries, keys = normal(49, 32), normal(120, 32)
    ignore = torch.rand(49, 49, generator=torch.Generator().manual_seed(0)) < 0.3
    results = []
    for rows in (chunk_rows, 49):
        loss, accuracy, *saved = info_nce_op(queries, keys, torch.tensor(0.1), 5, ignore, rows, True, True)
        results.append((loss, accuracy, *info_nce_backward_op(loss, queries, keys, *saved, True, True)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_the_operators_keep_pytorchs_rules() -> None:
    """Their fakes say shapes and dtypes, and no input is changed or given back."""
    for ignore, asked in ((None, (True, True)), (torch.ones(3, 3) > 0, (False, True)), (None, (False, False))):
        inputs = normal(3, 8), normal(5, 8).to(torch.bfloat16), torch.tensor(0.1)
        loss, _, *saved = info_nce_op(*inputs, 1, ignore, 2, *asked)
        torch.library.opcheck(info_nce_backward_op, (loss, *inputs[:2], *saved, *asked))
        leaves = [item.requires_grad_(wanted) for item, wanted in zip(inputs, (*asked, True), strict=True)]
        torch.library.opcheck(info_nce_op, (*leaves, 1, ignore, 2, *asked))


def test_what_the_kernels_cannot_take_is_refused() -> None:
    with use_backend("triton"):
        with pytest.raises(BackendError, match=f"the vectors have {MAX_WIDTH + 1} numbers, more than {MAX_WIDTH}"):
            info_nce(normal(1, MAX_WIDTH + 1), normal(1, MAX_WIDTH + 1), 0.1)
        with pytest.raises(BackendError, match="there are no queries"):
            info_nce(torch.ones(0, 8), normal(2, 8), 0.1)


def launched(backend: str, count: int, num_keys: int) -> tuple[int, set[str]]:
    """Number and names of what forward and backward launch, all gradients asked for."""
    leaves = [item.requires_grad_() for item in (normal(count, 16), normal(num_keys, 16), torch.tensor(0.05))]
    with use_backend(backend, "info_nce"), counted_launches() as found:
        loss, _ = info_nce(*leaves)
        torch.autograd.grad(loss, leaves, torch.ones(()))
    # The gradient of the loss, which is given.
    del found["aten.ones.default"]
    return found.total(), set(found)


def test_fewer_launches_than_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted alike. All that is launched is named here: no copy, and nothing that the host would wait for."""
    number, names = launched("triton", 256, 256)
    library, own = {"aten.mm.out", "aten.addmm.out"}, {"unit_rows", "weigh_rows", "mean_rows", "grads_of_rows"}
    assert (number, names) == (7, library | own)
    assert number < launched("reference", 256, 256)[0] / 5
    assert number < launched("torch", 256, 256)[0] / 5
    # Two chunks, as 4,096 queries have with 32,768 keys: four launches for each and three for all.
    for backend in ("torch", "triton"):
        monkeypatch.setattr(f"cavsync.kernels.{backend}.info_nce.CHUNK_BYTES", 4 * 300 * 32)
    number, names = launched("triton", 64, 300)
    assert (number, names) == (11, library | own)
    assert number < launched("torch", 64, 300)[0] / 5
    assert number < launched("reference", 64, 300)[0] / 3
