"""Candidates are tried in order, choices are obeyed or refused with every reason."""

import ast
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cavsync.errors import BackendError
from cavsync.kernels import OPERATIONS, Segments, attention, dispatch, info_nce, reference, use_backend
from cavsync.kernels.dispatch import Candidate, Implementation, register
from cavsync.kernels.inventory import inventory

KERNELS = Path(dispatch.__file__).parent


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch):
    """An operation whose first candidate refuses negative numbers, and whose second one needs a missing package."""
    monkeypatch.setattr(dispatch, "OPERATIONS", {})
    monkeypatch.setattr(dispatch, "_MISSING", frozenset({"faster_than_light"}))

    def reasons(x: torch.Tensor) -> list[str]:
        return ["a number is negative", "it is small"] if x.min() < 0 else []

    return register(
        "double",
        Candidate("picky", lambda: Implementation(lambda x: ("picky", 2 * x), reasons)),
        Candidate("absent", lambda: pytest.fail("loaded without its package"), requires=("faster_than_light",)),
        Candidate("elsewhere", lambda: Implementation(lambda x: ("elsewhere", x)), devices=("cuda",)),
        Candidate("plain", lambda: Implementation(lambda x: ("plain", x + x))),
    )


def test_the_first_candidate_that_can_is_taken(operation) -> None:
    assert operation(torch.ones(1))[0] == "picky"
    assert operation(-torch.ones(1))[0] == "plain"


def test_an_explicit_choice_is_obeyed_and_ends_with_its_block(operation) -> None:
    with use_backend("elsewhere"):
        assert operation(torch.ones(1))[0] == "elsewhere"
        with use_backend("plain", "double"):
            assert operation(torch.ones(1))[0] == "plain"
        assert operation(torch.ones(1))[0] == "elsewhere"
    assert operation(torch.ones(1))[0] == "picky"


def test_an_explicit_choice_fails_with_every_reason(operation) -> None:
    with use_backend("picky"), pytest.raises(BackendError) as error:
        operation(-torch.ones(1))
    assert "a number is negative" in str(error.value)
    assert "it is small" in str(error.value)
    with use_backend("absent"), pytest.raises(BackendError, match="package faster_than_light is not installed"):
        operation(torch.ones(1))
    assert operation(torch.ones(1))[0] == "picky"


def test_unknown_names_are_refused(operation) -> None:
    with pytest.raises(BackendError, match="use one of picky, absent, elsewhere, plain"), use_backend("warp"):
        pass
    with (
        pytest.raises(BackendError, match="'halve' is not an operation: use one of double"),
        use_backend("picky", "halve"),
    ):
        pass


def test_the_automatic_choice_is_logged_once(operation, caplog: pytest.LogCaptureFixture) -> None:
    dispatch._logged.discard(("double", "picky"))
    with caplog.at_level(logging.INFO, logger=dispatch.__name__):
        for _ in range(3):
            operation(torch.ones(1))
    assert [record.message for record in caplog.records] == ["double runs on picky"]


def test_operations_without_a_backend_choose_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """xformers has attention alone: InfoNCE then runs on torch, as it does without a choice."""
    ran = []
    for candidate in OPERATIONS["info_nce"].candidates:
        load = candidate.load

        def spied(name: str = candidate.name, load: Callable[[], Implementation] = load) -> Implementation:
            ran.append(name)
            return load()

        monkeypatch.setitem(candidate.__dict__, "load", spied)
    rows = torch.randn(3, 8)
    with use_backend("xformers"):
        info_nce(rows, rows, 0.1)
    assert set(ran) == {"torch"}
    ran.clear()
    with use_backend("reference"):
        info_nce(rows, rows, 0.1)
    assert set(ran) == {"reference"}


def test_backends_are_named_like_their_folders() -> None:
    names = {candidate.name for operation in OPERATIONS.values() for candidate in operation.candidates}
    assert names - {"reference"} == {path.parent.name for path in KERNELS.glob("*/__init__.py")}


@pytest.mark.parametrize(("tokens", "method"), [(64, "two matrix products"), (65, "scaled_dot_product_attention")])
def test_what_info_says_is_what_runs(tokens: int, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention on a CPU: as the inventory says, up to 64 tokens and above."""
    ran = []

    def spied(name: str, run: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *inputs: (ran.append(name), run(*inputs))[1]

    written_out = spied("two matrix products", reference.attention)
    fused = spied("scaled_dot_product_attention", torch.nn.functional.scaled_dot_product_attention)
    monkeypatch.setattr(reference, "attention", written_out)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", fused)
    attention(torch.randn(1, tokens, 3, 2, 16))
    assert ran == [method]
    chosen = [v for v in inventory(torch.device("cpu")) if v.operation == "attention" and v.automatic]
    assert [(v.backend, v.method) for v in chosen] == [
        ("torch", "two matrix products and a softmax up to 64 tokens, scaled_dot_product_attention above")
    ]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh process, Triton not interpreted."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "TRITON_INTERPRET": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


ATTEND = "import torch\nfrom cavsync.kernels import attention\nattention(torch.zeros(1, 4, 3, 1, 32))\n"


def test_the_environment_names_a_backend() -> None:
    refused = run(ATTEND, CAVSYNC_BACKEND="triton")
    assert "attention was asked to run on triton, which cannot: the tensors are on the CPU" in refused.stderr
    assert run(ATTEND, CAVSYNC_BACKEND="info_nce=torch, attention=reference").returncode == 0
    assert (
        "'warp' is not a backend of any operation: use one of triton, torch"
        in run(ATTEND, CAVSYNC_BACKEND="warp").stderr
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU makes xformers usable")
def test_xformers_says_why_not() -> None:
    pytest.importorskip("xformers")
    qkv = torch.zeros(6, 3, 2, 32)
    with use_backend("xformers"), pytest.raises(BackendError) as error:
        attention(qkv, Segments.from_lengths([0, 6]))
    for reason in ("needs a GPU", "neither float16 nor bfloat16", "a sequence is empty"):
        assert reason in str(error.value)


def test_head_widths_outside_the_kernels_range_are_left_to_others() -> None:
    wide = torch.randn(1, 4, 3, 1, 160)
    with use_backend("triton"), pytest.raises(BackendError, match="head width is 160, outside 16 to 128"):
        attention(wide)
    with use_backend("triton"), pytest.raises(BackendError, match="float64 is none of"):
        attention(wide.double()[..., :64])
    assert attention(wide).shape == (1, 4, 1, 160)


def test_the_inventory_covers_every_operation_and_names_one_choice_each() -> None:
    verdicts = inventory(torch.device("cpu"))
    assert {(v.operation, v.backend) for v in verdicts} == {
        (name, candidate.name) for name, operation in OPERATIONS.items() for candidate in operation.candidates
    }
    for name in OPERATIONS:
        chosen = [v for v in verdicts if v.operation == name and v.automatic]
        assert len(chosen) == 1
        assert chosen[0].reasons == ()
        # Interpreted kernels are for tests: never a choice on a CPU.
        assert chosen[0].backend != "triton"


def test_fast_paths_are_imported_only_in_their_own_files() -> None:
    """`triton` only in kernels/triton, `xformers` only in kernels/xformers."""
    for path in KERNELS.rglob("*.py"):
        names = {
            (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for package in ("triton", "xformers"):
            assert package not in names or path.parent.name == package, path


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = "import sys, cavsync.kernels; print([n for n in ('xformers', 'cavsync.kernels.triton') if n in sys.modules])"
    assert run(code).stdout.strip() == "[]"
