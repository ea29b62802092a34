"""What the kernel benchmarks do besides timing: percentiles, verdicts, rows of what breaks, bytes."""

import numpy as np
import pytest

from cavsync.kernels import Segments, attention


def row(backend: str, **values: object) -> dict:
    return {"op": "attention", "shape": "61", "backend": backend, **values}


def test_quantiles(load) -> None:
    times = np.random.default_rng(0).exponential(size=51)
    found = load("measure").quantiles(times)
    np.testing.assert_allclose(list(found.values()), np.quantile(times, [0.2, 0.5, 0.8]), atol=1e-4)
    assert set(load("measure").quantiles([3.0]).values()) == {3.0}


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ([row("triton", p50_ms=1.0), row("torch", p50_ms=2.0)], "default holds: attention 61: triton, best triton"),
        ([row("triton", p50_ms=1.02), row("torch", p50_ms=1.0)], "default holds: attention 61: triton, best torch"),
        ([row("triton", p50_ms=2.0), row("torch", p50_ms=1.0)], "default lost: attention 61: triton, best torch"),
        (
            [row("triton", p50_ms=2.0), row("torch", failure="broke")],
            "default holds: attention 61: triton, best triton",
        ),
        ([row("triton", failure="broke"), row("torch", p50_ms=1.0)], "default failed: attention 61: triton, broke"),
    ],
)
def test_verdict(load, group: list[dict], expected: str) -> None:
    assert load("kernels").verdict(group).startswith(expected)


def test_a_backend_that_breaks_is_a_row(load, monkeypatch: pytest.MonkeyPatch) -> None:
    """It neither ends the benchmark nor leaves its place as the default to the next backend."""
    kernels = load("kernels")

    def broken(case: object, backend: str, options: object) -> dict:
        if backend == "torch":
            raise RuntimeError("an illegal memory access")
        return {"p50_ms": 1.0}

    monkeypatch.setattr(kernels, "measured", broken)
    options = kernels.argparse.Namespace(device="cpu", only_compiled=False, no_save=True)
    case = kernels.Case("attention", "61", list, list, 0.0, 0.0)
    group = [*kernels.rows(case, {"commit": "unknown"}, options)]
    assert [item["backend"] for item in group] == ["torch", "reference"]
    assert "illegal memory access" in group[0]["failure"]
    assert kernels.verdict(group).startswith("default failed")


def test_sequences_of_several_lengths_are_not_compiled(load) -> None:
    """The reference takes one after the other: PyTorch's compiler would unroll hundreds."""
    kernels = load("kernels")
    options = kernels.argparse.Namespace(device="cuda", only_compiled=True)
    cases = kernels.cases(2, kernels.torch.device("cpu"), kernels.torch.float32)
    left_out = [case.shape for case in cases if not kernels.backends(case, options)]
    assert left_out == [f"{2 * (53 + 50 + 101)}x3x12x64"]


def test_the_traffic_of_attention_is_counted(load) -> None:
    """One sequence of 5 tokens, 2 heads of 16: everything is read and written once, masked elements are not."""
    traffic = load("kernel_traffic")
    qkv = [traffic.torch.randn(5, 3, 2, 16).bfloat16()]
    case = traffic.Case("attention", "small", lambda: qkv, lambda x: attention(x, Segments(((1, 5),))), 0.0, 0.0)
    found = traffic.traffic_of(case)
    tokens, row, sums, table = 5, 2 * 16 * 2, 5 * 2 * 4, 2 * 4
    # Forward: qkv, the row of the table; result and denominators. Backward: those and the gradient of the result.
    assert found["short_forward"].least() == tokens * 4 * row + sums + table
    assert found["short_backward"].least() == tokens * 8 * row + sums + table
    # Both heads read the table.
    assert found["short_forward"].moved() == found["short_forward"].least() + table
