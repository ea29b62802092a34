"""The `cavsync` command: its command tree, whose modules are imported on first use."""

from __future__ import annotations

import importlib
import io
import logging
import sys
from typing import Any

import click

from cavsync import __version__
from cavsync.cli.errors import ErrorHandlingGroup
from cavsync.file_names import printable


class LazyGroup(click.Group):
    """A group that imports a command's module, named as `module:attribute`, only when that command is called."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the help: what most people look for first."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, attribute = self._lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self._lazy.items()])


DATA_COMMANDS = {
    "synth": ("cavsync.cli.data.synth:synth", "Generate clips whose offset is known exactly."),
    "pack": ("cavsync.cli.data.pack:pack", "Pack videos or CAV-MAE lists into tar shards."),
    "frames": ("cavsync.cli.data.frames:frames", "Extract labelled videos into the layout of CAV-MAE's lists."),
    "check": ("cavsync.cli.data.check:check", "List the clips that training would reject, with the reasons."),
    "av-syncbench": ("cavsync.cli.data.av_syncbench:av_syncbench", "Convert AV-SyncBench's list for `eval sync`."),
    "stats": ("cavsync.cli.data.stats:stats", "Measure the mean and standard deviation of the log-mel."),
}


@click.group(cls=LazyGroup, lazy=DATA_COMMANDS)
def data() -> None:
    """Make and check data sets."""


EVAL_COMMANDS = {
    "retrieval": ("cavsync.cli.eval.retrieval:retrieval", "Retrieve audio by frames, and frames by audio."),
    "classify": ("cavsync.cli.eval.classify:classify", "Measure mAP and accuracy of a fine-tuned or probed model."),
    "localize": (
        "cavsync.cli.eval.localize:localize",
        "Measure how well a model locates the sounding object in a frame.",
    ),
    "inpaint": ("cavsync.cli.eval.inpaint:inpaint", "Fill in hidden patches of frames and audio with the decoder."),
    "sync": ("cavsync.cli.eval.sync:sync", "Test offsets, in-sync decisions and confidence."),
    "compare": ("cavsync.cli.eval.compare:compare", "Compare two results."),
}


@click.group("eval", cls=LazyGroup, lazy=EVAL_COMMANDS)
def evaluate() -> None:
    """Evaluate a model."""


class LogFormatter(logging.Formatter):
    """Lines of the log, in which a file name cannot control the terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """Return the line."""
        return printable(super().formatMessage(record))


COMMANDS = {
    "score": ("cavsync.cli.score:score", "Measure the audio-visual offset of files."),
    "watch": ("cavsync.cli.watch:watch", "Score a live source as it plays."),
    "fix": ("cavsync.cli.fix:fix", "Remove a file's offset without re-encoding it."),
    "serve": ("cavsync.cli.serve:serve", "Score files and live streams over HTTP, with a live page."),
    "train": ("cavsync.cli.train:train", "Pretrain a model, fine-tune it, or probe it."),
    "export": ("cavsync.cli.export:export", "Export the encoders as ONNX graphs, checked against the PyTorch model."),
    "eval": ("cavsync.cli.main:evaluate", "Evaluate a model."),
    "data": ("cavsync.cli.main:data", "Make and check data sets."),
    "archive": ("cavsync.cli.archive:archive", "Score the files of an archive on a Ray cluster."),
    "embed": ("cavsync.cli.media.embed:embed", "Write the embeddings of files as arrays or tables."),
    "tag": ("cavsync.cli.media.tag:tag", "Write the classes of files over time."),
    "locate": ("cavsync.cli.media.locate:locate", "Find where in a video a sound belongs."),
    "bundle": ("cavsync.cli.bundle:bundle", "Show a bundle's manifest, or verify its contents against it."),
    "convert": ("cavsync.cli.convert:convert", "Convert a checkpoint of the authors into a run."),
    "average": ("cavsync.cli.average:average", "Average the weights of several checkpoints."),
    "info": ("cavsync.cli.info:info", "List versions, devices and backends, with the reasons against unusable ones."),
    "demo": ("cavsync.cli.demo:demo", "Generate clips, train, export and score: the whole pipeline in minutes."),
}


class RootGroup(ErrorHandlingGroup, LazyGroup):
    """The `cavsync` command."""


@click.group("cavsync", cls=RootGroup, lazy=COMMANDS)
@click.version_option(__version__, prog_name="cavsync")
@click.option("-v", "--verbose", is_flag=True, help="Log progress, choices of backends and every rejected clip.")
def main(verbose: bool) -> None:
    """Score audio-visual sync in files and live streams; pretrain CAV-MAE Sync and export its encoders."""
    log = logging.StreamHandler()
    log.setFormatter(LogFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, handlers=[log])
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As stderr does: a terminal without emoji shows their code instead of ending the command.
        sys.stdout.reconfigure(errors="backslashreplace")
