"""Every backend of every operation on a GPU against the specification in float64."""

import math

import pytest
import torch
from exactness import relative_error
from torch import Tensor

from cavsync.errors import BackendError
from cavsync.kernels import (
    OPERATIONS,
    Segments,
    attention,
    bias_gelu,
    info_nce,
    kept_patch_embedding,
    masked_reconstruction_loss,
    modality_layer_norm,
    reference,
    use_backend,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# float32 goes through three tf32 products.
MAX_RELATIVE_ERROR = {torch.float32: 1e-4, torch.float16: 3e-3, torch.bfloat16: 2e-2}
LENGTHS = (1, 7, 49, 58, 61, 101, 119, 217, 404, 513)


@pytest.fixture(autouse=True)
def full_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions of the specification in float32 proper: by default cuDNN rounds them to tf32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def backends(operation: str) -> list[str]:
    return [candidate.name for candidate in OPERATIONS[operation].candidates]


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed + sum(shape))
    return torch.randn(shape, device="cuda", generator=generator).to(dtype)


def compare(backend: str, operation: str, leaves: list[Tensor], ours, exact, dtype: torch.dtype) -> None:
    """Values and gradients of `ours(*leaves)` by a backend, twice, against `exact(*leaves in float64)`."""
    doubles = [leaf.double().requires_grad_() for leaf in leaves]
    wanted = exact(*doubles)
    # A mean's gradient is spread thin: scaled up, as a loss scaler would, it stays clear of fp16's smallest numbers.
    upstream = normal(*wanted.shape, seed=1) * (1 if wanted.ndim else 1e4)
    wanted.backward(upstream.double())
    runs = []
    for _ in range(2):
        fresh = [leaf.clone().requires_grad_() for leaf in leaves]
        try:
            with use_backend(backend, operation):
                value = ours(*fresh)
        except BackendError as error:
            pytest.skip(str(error))
        value.backward(upstream.to(value.dtype))
        runs.append([value.detach(), *(leaf.grad for leaf in fresh)])
    for got, again, other in zip(*runs, [wanted, *(leaf.grad for leaf in doubles)], strict=True):
        assert got.isfinite().all()
        assert relative_error(got, other) <= MAX_RELATIVE_ERROR[dtype]
        # PyTorch's own attention adds up in any order.
        if backend == "triton" or (backend == "torch" and operation != "attention"):
            assert torch.equal(got, again), "two runs differ"


@pytest.mark.parametrize("backend", backends("attention"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("head_dim", [32, 64, 128])
def test_attention_at_odd_lengths(head_dim: int, dtype: torch.dtype, backend: str) -> None:
    for length in LENGTHS[1:]:
        qkv = normal(2, length, 3, 2, head_dim, dtype=dtype)
        compare(backend, "attention", [qkv], attention, reference.attention, dtype)


@pytest.mark.parametrize("backend", backends("attention"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "runs", [((8, 53), (8, 50), (8, 101)), ((1, 1), (1, 404), (3, 7)), ((2, 61), (1, 0), (1, 130))], ids=str
)
def test_packed_attention(runs: tuple, dtype: torch.dtype, backend: str) -> None:
    segments = Segments(runs)
    qkv = normal(segments.num_tokens, 3, 12, 64, dtype=dtype)
    compare(
        backend, "attention", [qkv], lambda x: attention(x, segments), lambda x: reference.attention(x, segments), dtype
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_attention_of_one_token_copies_its_value(dtype: torch.dtype) -> None:
    qkv = normal(5, 1, 3, 2, 64, dtype=dtype).requires_grad_()
    with use_backend("triton", "attention"):
        mixed = attention(qkv)
    mixed.sum().backward()
    # float32 passes through three tf32 products, which keep 22 of its 24 bits.
    torch.testing.assert_close(mixed, qkv[:, :, 2], rtol=1e-5 if dtype == torch.float32 else 0, atol=0)
    assert qkv.grad is not None
    assert (qkv.grad[:, :, 2] == 1).all()


@pytest.mark.parametrize("backend", backends("modality_layer_norm"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [[1], [7, 0, 49], [53 * 8, 50 * 8, 101 * 8]], ids=str)
@pytest.mark.parametrize("width", [96, 512, 768])
def test_layer_norm(width: int, rows: list[int], dtype: torch.dtype, backend: str) -> None:
    affine = normal(2, len(rows), width)
    leaves = [3 * normal(sum(rows), width) + 1, normal(sum(rows), width, dtype=dtype), affine[0], affine[1]]

    def both(run, out_dtype: torch.dtype):
        def joined(*inputs: Tensor) -> Tensor:
            total, normed = run(*inputs, rows, out_dtype)
            return torch.cat([total, normed.to(total.dtype)])

        return joined

    compare(
        backend,
        "modality_layer_norm",
        leaves,
        both(modality_layer_norm, dtype),
        both(reference.modality_layer_norm, torch.float64),
        dtype,
    )


@pytest.mark.parametrize("backend", backends("bias_gelu"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(1, 7), (130, 300), (52 * 64, 3072)], ids=str)
def test_bias_gelu(shape: tuple[int, int], dtype: torch.dtype, backend: str) -> None:
    leaves = [3 * normal(*shape), normal(shape[1])]
    leaves[0] = leaves[0].to(dtype)
    compare(backend, "bias_gelu", leaves, bias_gelu, reference.bias_gelu, dtype)


@pytest.mark.parametrize("backend", backends("kept_patch_embedding"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("channels", "height", "width", "kept"), [(1, 128, 416, 52), (3, 224, 224, 49), (15, 64, 64, 1)]
)
def test_kept_patch_embedding(
    channels: int, height: int, width: int, kept: int, dtype: torch.dtype, backend: str
) -> None:
    count = height * width // 256
    images = normal(4, channels, width, height).transpose(2, 3)
    ids = torch.rand(4, count, device="cuda").argsort(dim=1)[:, :kept]
    leaves = [0.05 * normal(768, channels, 16, 16), normal(768), normal(count, 768), normal(768)]
    leaves[0] = leaves[0].to(dtype)
    compare(
        backend,
        "kept_patch_embedding",
        leaves,
        lambda *rest: kept_patch_embedding(images, ids, *rest),
        lambda *rest: reference.kept_patch_embedding(images.double(), ids, *rest),
        dtype,
    )


@pytest.mark.parametrize("backend", backends("masked_reconstruction_loss"))
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("norm_pix", [False, True])
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 128, 416), (3, 224, 224), (15, 64, 64)])
def test_reconstruction_loss(
    channels: int, height: int, width: int, norm_pix: bool, dtype: torch.dtype, backend: str
) -> None:
    count = height * width // 256
    images = 2 * normal(4, channels, width, height).transpose(2, 3) + 1
    hidden = torch.rand(4, count, device="cuda") < 0.75
    compare(
        backend,
        "masked_reconstruction_loss",
        [normal(4, count, channels * 256, dtype=dtype)],
        lambda prediction: masked_reconstruction_loss(prediction, images, hidden, 16, norm_pix),
        lambda prediction: reference.masked_reconstruction_loss(prediction, images.double(), hidden, 16, norm_pix),
        dtype,
    )


@pytest.mark.parametrize("backend", backends("info_nce"))
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("count", "keys", "first"), [(1, 1, 0), (7, 9, 2), (256, 256, 0), (130, 9000, 4090), (2000, 40000, 37000)]
)
def test_info_nce(count: int, keys: int, first: int, masked: bool, backend: str) -> None:
    """Rows of one step and of several, and more of them than one chunk takes."""
    ignore = torch.rand(count, count, device="cuda") < 0.3 if masked else None
    compare(
        backend,
        "info_nce",
        # Unlike pairs: a loss near 0 has no digits in the specification's form in float32.
        [normal(count, 768), normal(keys, 768, seed=1), torch.tensor(0.05, device="cuda")],
        lambda *inputs: info_nce(*inputs, first, ignore)[0],
        lambda *inputs: reference.info_nce(*inputs, first, ignore)[0],
        torch.float32,
    )


@pytest.mark.parametrize("backend", backends("info_nce"))
def test_info_nce_of_half_precision_vectors(backend: str) -> None:
    leaves = [normal(130, 768, dtype=torch.bfloat16), normal(300, 768, dtype=torch.bfloat16, seed=1)]
    compare(
        backend,
        "info_nce",
        leaves,
        lambda *vectors: info_nce(*vectors, 0.1, 7)[0],
        lambda *vectors: reference.info_nce(*vectors, torch.tensor(0.1, device="cuda").double(), 7)[0],
        torch.bfloat16,
    )


@pytest.mark.parametrize("backend", backends("info_nce"))
def test_info_nce_says_whether_the_positive_wins(backend: str) -> None:
    """The first 33 queries are their own positives. The keys from 32 on are one vector, so that the rest only ties."""
    queries = normal(64, 768)
    keys = torch.cat([queries[:32], queries[32:33].expand(40, 768)])
    with use_backend(backend, "info_nce"):
        _, accuracy = info_nce(queries, keys, 0.05)
    # Among equals the first one wins, which is the positive of query 32.
    assert accuracy.item() == 33 / 64


def test_info_nce_beyond_32_bit_offsets() -> None:
    """More than 2^31 numbers of keys, all 0 but for the last key, which is the positive."""
    if torch.cuda.mem_get_info()[0] < 16e9:
        pytest.skip("needs 16 GB of GPU memory")
    count, query = 2**31 // 768 + 1000, normal(1, 768, dtype=torch.bfloat16)
    keys = torch.zeros(count, 768, dtype=torch.bfloat16, device="cuda")
    keys[-1] = query[0]
    with use_backend("triton", "info_nce"), torch.no_grad():
        loss, accuracy = info_nce(query, keys, 0.1, count - 1)
    assert loss.item() == pytest.approx(math.log1p((count - 1) * math.exp(-10)), rel=1e-4)
    assert accuracy.item() == 1


@pytest.mark.parametrize("masked", [False, True])
def test_info_nce_can_be_captured(masked: bool) -> None:
    """Forward and backward by the default, replayed with new values."""
    leaves = [normal(48, 64), normal(80, 64, seed=1), torch.tensor(0.1, device="cuda")]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    ignore = torch.rand(48, 48, device="cuda") < 0.3 if masked else None

    def work() -> list[Tensor]:
        loss, accuracy = info_nce(*leaves, 9, ignore)
        return [loss.detach(), accuracy, *torch.autograd.grad(loss, leaves)]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = work()
    with torch.no_grad():
        leaves[0].copy_(normal(48, 64, seed=5))
    graph.replay()
    for one, other in zip(captured, work(), strict=True):
        torch.testing.assert_close(one, other)


def test_info_nce_near_zero() -> None:
    """Every query is its own key: the default keeps the digits of a loss of 5e-7."""
    units = torch.nn.functional.normalize(normal(256, 768), dim=-1)
    loss, _ = info_nce(units, units, 0.05)
    exact, _ = reference.info_nce(units.double(), units.double(), torch.tensor(0.05, device="cuda").double())
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3)
