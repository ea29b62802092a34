"""Options of everything that scores: limits, and the grid that a stream is looked at on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from cavsync.cli.threads import thread_options

PROFILE_OPTIONS = (
    click.option("--profile", default="itu-bt1359-detect", show_default=True, metavar="NAME",
                 help="Limits of what counts as in sync: itu-bt1359-detect, itu-bt1359-accept, ebu-r37, atsc-is191, "
                 "one-frame or custom."),
    click.option("--early-ms", type=float, help="With --profile custom: how much the audio may be early."),
    click.option("--late-ms", type=float, help="With --profile custom: how much the audio may be late."),
)  # fmt: skip
GRID_OPTIONS = (
    click.option("--window-seconds", type=float,
                 help="Length of the window of a decision; the bundle's own by default."),
    click.option("--max-offset-ms", type=float, help="Search range to either side; the bundle's own by default."),
    click.option("--frame-rate", "frame_rate_hz", type=float,
                 help="Frames looked at per second; the bundle's own by default, fewer cost less."),
    click.option("--hop-ms", type=float,
                 help="Step of the search, a multiple of 10 ms; the bundle's own by default, a longer one costs less."),
    click.option("--adaptive", is_flag=True,
                 help="Search coarsely, then track the offset found, and look at everything again where it is lost."),
)  # fmt: skip
ENGINE_OPTION = click.option(
    "--engine", default="onnxruntime", show_default=True, metavar="NAME[:PRECISION]",
    help="What computes the encoders: onnxruntime, openvino, tensorrt, tensorrt_rtx, or auto for the best of them that "
    "can run here. Never another one instead.")  # fmt: skip


Command = Callable[..., Any]


def profile_options(command: Command) -> Command:
    """Add `--profile`, `--early-ms` and `--late-ms`."""
    for option in reversed(PROFILE_OPTIONS):
        command = option(command)
    return command


def engine_options(command: Command) -> Command:
    """Add `--engine`, `--threads` and `--cores`."""
    return ENGINE_OPTION(thread_options(command))


def scoring_options(command: Command) -> Command:
    """Add profile, grid and engine; profile and grid have the names that `SyncScorer` has for them."""
    command = engine_options(command)
    for option in reversed(GRID_OPTIONS):
        command = option(command)
    return profile_options(command)
