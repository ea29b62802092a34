"""Run `cavsync` commands in processes that a test may kill.

They are forked from a server that has everything imported and nothing open: a fork of the test's own process can wait
for ever, because it has locks and engines whose threads it lacks.
"""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.process import BaseProcess

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["cavsync.cli.main", "cavsync.deploy.files.features", "onnxruntime", "torch"])


def start(command: list[object]) -> BaseProcess:
    """Start `cavsync` with these arguments; its output is dropped. Exit codes of signals are negative."""
    process = SERVER.Process(target=_run, args=([*map(str, command)],))
    process.start()
    return process


def status_of(process: BaseProcess) -> int | None:
    """Wait for the end and return the exit code."""
    process.join()
    return process.exitcode


def _run(arguments: list[str]) -> None:
    from click.testing import CliRunner

    from cavsync.cli.main import main

    sys.exit(CliRunner().invoke(main, arguments).exit_code)
