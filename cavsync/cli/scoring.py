"""The options of the commands that score: profile, grid, tracks, path and engine."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cavsync.cli.threads import thread_options

Command = Callable[..., Any]

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
                 help="Frames used per second; the bundle's own by default, fewer cost less."),
    click.option("--hop-ms", type=float,
                 help="Step of the search, a multiple of 10 ms; the bundle's own by default, a longer one costs less."),
    click.option("--adaptive", is_flag=True,
                 help="Search coarsely, then only around the offset found, and fully again if it is lost."),
)  # fmt: skip
TRACK_OPTIONS = (
    click.option("--audio-stream", metavar="N[+N]",
                 help="Number of the audio track to use, counted from 0, or several of a file to mix, as in 2+3; by "
                 "default the one that a player would play."),
    click.option("--video-stream", type=click.IntRange(min=0), metavar="N",
                 help="Number of the video track, counted from 0; by default the one that a player would play."),
    click.option("--program", type=click.IntRange(min=0), metavar="N",
                 help="Number of the programme (MPEG-TS service, HLS variant) whose tracks to score."),
)  # fmt: skip
path_option = click.option(
    "--path", type=click.Choice(["auto", "face", "whole"]), default="auto", show_default=True,
    help="What to compare with the audio: the lips of faces, the whole picture, or both (auto). With a bundle without "
    "a face path, auto is whole.")  # fmt: skip
ENGINE_OPTION = click.option(
    "--engine", default="onnxruntime", show_default=True, metavar="NAME[:PRECISION]",
    help="Engine that runs the encoders: onnxruntime, openvino, tensorrt, tensorrt_rtx, or auto for the best of them "
    "that can run on this machine. A named engine that cannot run is an error; no other takes its place.")  # fmt: skip

bundle_option = click.option(
    "--bundle", type=click.Path(path_type=Path),
    help="Bundle written by `cavsync export`; by default the model that comes with cavsync.")  # fmt: skip


def track_options(command: Command) -> Command:
    """Add the options that name tracks; the command gets `audio_stream`, `video_stream` and `program`."""
    for option in reversed(TRACK_OPTIONS):
        command = option(command)
    return command


def scoring_options(command: Command) -> Command:
    """Add profile, grid, tracks, path and engine, which the command gets as `scoring` and `engine`.

    Raises ConfigError, before the command runs, if an option cannot be used with any bundle.
    """
    return _scoring_options(thread_options(_gathered(command)))


def worker_scoring_options(command: Command) -> Command:
    """Add the same options but those that choose cores of this machine."""
    return _scoring_options(_gathered(command))


def _gathered(command: Command) -> Command:
    """Give the command the values of the options as `scoring` and `engine`."""

    @functools.wraps(command)
    def with_options(**values: Any) -> Any:
        from cavsync.deploy.runtime.engine_keywords import EngineKeywords
        from cavsync.deploy.stream.options import ScoringKeywords, ScoringOptions

        engine = _taken(values, EngineKeywords.__annotations__)
        scoring = ScoringOptions(**_taken(values, ScoringKeywords.__annotations__))
        return command(scoring=scoring, engine=engine, **values)

    return with_options


def _scoring_options(command: Command) -> Command:
    decorated: Command = track_options(ENGINE_OPTION(path_option(command)))
    for option in reversed((*PROFILE_OPTIONS, *GRID_OPTIONS)):
        decorated = option(decorated)
    return decorated


def _taken(values: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """Remove those of `names` from `values` and return them."""
    return {name: values.pop(name) for name in names if name in values}
