"""The table of resources covers every kernel, and attention does not spill where it must not."""

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
    return {
        node.func.value.id
        for path in KERNELS.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Subscript)
        and isinstance(node.func.value, ast.Name)
        and ast.unparse(node.func.slice) == "grid"
    }


def compiled(tmp_path: Path, *options: str) -> list[dict]:
    """Rows of the table, compiled by a process in which kernels are not interpreted."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-P", str(TABLE), "--json", str(tmp_path / "rows.jsonl"), *options]
    done = subprocess.run(
        command,
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_short_attention_fits_in_registers(tmp_path: Path) -> None:
    rows = compiled(tmp_path, "--cc", "90", "--dtype", "bf16", "--kernel", "short_backward", "--jobs", "1")
    assert {row["kernel"] for row in rows} == {"short_backward"}
    assert "head_dim=64 block_d=64 block_n=128" in {row["sizes"] for row in rows}
    for row in rows:
        assert row["registers"] > 32
        assert row["shared_bytes"] > 1024
        assert row["spill_bytes"] == 0


@pytest.mark.slow
def test_no_kernel_is_forgotten() -> None:
    """Recording the operators' launches finds every kernel that a file of the backend launches."""
    code = (
        f"import sys; sys.path.insert(0, {str(TABLE.parent)!r})\n"
        "import kernel_resources\n"
        "print(*sorted({launch.kernel for launch in kernel_resources.launches_of('bf16')}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == launched_kernels()
    assert len(launched_kernels()) >= 14
