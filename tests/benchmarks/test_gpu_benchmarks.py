"""What the GPU benchmarks compute besides times: operations of a step, percentiles, verdicts."""

import numpy as np
import pytest


def row(backend: str, **values: object) -> dict:
    return {"op": "attention", "shape": "61", "backend": backend, **values}


def test_operations_of_the_published_step(load) -> None:
    """The plain forward, which embeds all 208 and 196 patches, was counted at 45.3 GFLOP a pair."""
    step = load("train_step")
    never_kept = (208 - 52) + 3 * (196 - 49)
    plain = step.forward_flops(step.CAV_MAE_SYNC) + 2 * 768 * 256 * never_kept
    assert plain / 1e9 == pytest.approx(45.3, abs=0.05)


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
    options = kernels.argparse.Namespace(device="cpu")
    case = kernels.Case("attention", "61", list, list, 0.0, 0.0)
    group = kernels.rows(case, {"commit": "unknown"}, options)
    assert [item["backend"] for item in group] == ["torch", "reference"]
    assert "illegal memory access" in group[0]["failure"]
    assert kernels.verdict(group).startswith("default failed")
