"""`import cavsync.deploy` loads what an embedded scorer needs and no report."""

from __future__ import annotations

import subprocess
import sys

import pytest

REPORT = {"jinja2", "cavsync.deploy.sinks.html", "cavsync.deploy.sinks.charts", "cavsync.deploy.sinks.heat_map"}


@pytest.mark.parametrize("module", ["cavsync.deploy", "cavsync.deploy.live.sinks", "cavsync.deploy.sinks"])
def test_importing_it_loads_no_report(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & REPORT == set()
