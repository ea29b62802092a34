"""The table of resources covers every kernel, sees spills, and finds none where attention must not have any."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cavsync.kernels.triton

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "benchmarks" / "kernel_resources.py"
KERNELS = Path(cavsync.kernels.triton.__file__).parent


def launched_kernels() -> set[str]:
    """Names that are launched, `name[grid](...)`, in any file of the Triton backend."""
    trees = [ast.parse(path.read_text("utf-8")) for path in KERNELS.glob("*.py")]
    kernels = {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(item).startswith("triton.jit") for item in node.decorator_list)
    }
    called = {
        node.func.value.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript) and isinstance(node.func.value, ast.Name)
    }
    return kernels & called


def run_compiled(cache: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process in which kernels are compiled, not interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": str(TABLE.parent)}
    return subprocess.run(
        [sys.executable, "-P", *command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_attention_fits_in_registers(tmp_path: Path) -> None:
    """bf16 attention of the encoder's heads on compute capability 9.0, forward and backward, short and long."""
    path = tmp_path / "rows.jsonl"
    options = ("--cc", "90", "--dtype", "bf16", "--kernel", "attention", "head_dim=64", "--jobs", "1")
    done = run_compiled(tmp_path, str(TABLE), *options, "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert {row["kernel"] for row in rows} == {
        name for name in launched_kernels() if name.startswith(("short", "long"))
    }
    assert {row["sizes"] for row in rows} >= {f"head_dim=64 block_d=64 block_n={block}" for block in (16, 32, 64, 128)}
    for row in rows:
        assert (row["dtype"], row["compute_capability"], row["error"]) == ("bf16", 90, "")
        assert 24 <= row["registers"] <= 255
        assert row["spill_store_bytes"] == row["spill_load_bytes"] == 0
        # A tile of queries, keys and values has to lie in shared memory for the tensor cores; sums need none.
        assert row["shared_bytes"] >= (0 if row["kernel"] == "long_share" else 16 * 64 * 2)


@pytest.mark.slow
def test_spills_are_seen_and_judged(tmp_path: Path) -> None:
    """128 x 128 float32 scores on one warp are 512 registers per thread, twice the 255 that a thread can have."""
    code = (
        "from dataclasses import replace\n"
        "from kernel_resources import compile_for, launches_of\n"
        "words = ['short_forward', 'head_dim=64', 'block_n=128']\n"
        "(launch,) = (launch for launch in launches_of('bf16') if launch.matches(words))\n"
        "row = compile_for((replace(launch, num_warps=1), 90))\n"
        "print(row.spill_store_bytes, row.spill_load_bytes, *row.faults(), sep='\\n')\n"
    )
    done = run_compiled(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    stored, loaded, fault = done.stdout.splitlines()
    # Registers say nothing here: an overwhelmed assembler gives up on most of them (64 with 26 KB spilled).
    assert int(stored) >= 4 * (512 - 255)
    assert int(loaded) >= 4 * (512 - 255)
    assert "short_forward" in fault
    assert "spills" in fault


def test_faults() -> None:
    """What ends the table with status 1, judged on written rows."""
    code = (
        "from dataclasses import replace\n"
        "from kernel_resources import Resources\n"
        "fine = Resources('attention_long', 'long_forward', 'head_dim=64', 'bf16', 90, 8, 128, 99 * 1024)\n"
        "spilling = replace(fine, spill_store_bytes=4)\n"
        "rows = [fine, spilling, replace(spilling, dtype='fp16'), replace(spilling, compute_capability=80),\n"
        "        replace(spilling, file='reconstruction_loss'), replace(fine, compute_capability=120),\n"
        "        replace(spilling, file='layer_norm_rows'), replace(spilling, file='bias_gelu'),\n"
        "        replace(spilling, file='info_nce_rows', dtype='fp32'),\n"
        "        replace(fine, compute_capability=120, shared_bytes=99 * 1024 + 1), replace(fine, error='no')]\n"
        "print(*(len(list(row.faults())) for row in rows))"
    )
    done = run_compiled(Path(os.devnull), "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "1", "0", "0", "0", "0", "1", "1", "1", "1", "1"]


def test_no_kernel_is_forgotten(tmp_path: Path) -> None:
    """Recording the operators' launches finds every kernel that a file of the backend launches."""
    code = "from kernel_resources import launches_of\nprint(*sorted({launch.kernel for launch in launches_of('bf16')}))"
    done = run_compiled(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == launched_kernels()
    assert len(launched_kernels()) >= 10


def test_the_table_has_what_a_training_step_launches(tmp_path: Path) -> None:
    """Every specialisation, forward and backward, of the published model's kinds of layers: a table of other ones would
    say nothing about registers and spills of those that run."""
    code = (
        "from contextlib import ExitStack\n"
        "from unittest.mock import patch\n"
        "import torch\n"
        "from kernel_resources import launches_of, recorded\n"
        "from cavsync.kernels import OPERATIONS, use_backend\n"
        "from cavsync.kernels.triton import attention\n"
        "from cavsync.model import CAVMAESync\n"
        "from cavsync.model.config import CAV_MAE_SYNC\n"
        "table = {repr(launch) for launch in launches_of('bf16')}\n"
        "depths = {'modality_specific_depth': 2, 'depth': 3, 'decoder_depth': 2}\n"
        "model = CAVMAESync(CAV_MAE_SYNC.model_copy(update=depths))\n"
        "for item in OPERATIONS.values():\n"
        "    if item.candidates[0].name == 'triton':\n"
        "        object.__setattr__(item.candidates[0].load(), 'not_supported_reasons', lambda *_: [])\n"
        "with patch.object(attention, 'capability_of', lambda _: (9, 0)), recorded('bf16') as found:\n"
        "    for dtype in (torch.float32, torch.bfloat16):\n"
        "        fbank, frames = torch.zeros(2, 416, 128, dtype=dtype), torch.zeros(2, 3, 224, 224, dtype=dtype)\n"
        "        with use_backend('triton'), torch.autocast('cpu', torch.bfloat16):\n"
        "            model(fbank, frames).loss.backward()\n"
        "assert len(found) > 30, len(found)\n"
        "print(*{repr(launch) for launch in found} - table, sep='\\n')\n"
    )
    done = run_compiled(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
