"""The `cavsync` command: commands are found by name and imported only when they are called."""

from __future__ import annotations

import importlib
import logging
from typing import Any

import click

from cavsync import __version__
from cavsync.cli.errors import ErrorHandlingGroup


class LazyGroup(click.Group):
    """A group that imports a command's module, named as `module:attribute`, only when that command is called."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they are used."""
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
    "synth": ("cavsync.cli.data.synth:synth", "Generate clips whose true sync is known to the sample."),
    "pack": ("cavsync.cli.data.pack:pack", "Pack videos or lists into tar shards."),
    "frames": ("cavsync.cli.data.frames:frames", "Extract labelled videos in the layout of CAV-MAE's lists."),
    "check": ("cavsync.cli.data.check:check", "Say which clips would be rejected, and why."),
    "stats": ("cavsync.cli.data.stats:stats", "Measure mean and standard deviation of the log-mel."),
}


@click.group(cls=LazyGroup, lazy=DATA_COMMANDS)
def data() -> None:
    """Make and check data sets."""


EVAL_COMMANDS = {
    "retrieval": ("cavsync.cli.eval.retrieval:retrieval", "Find sounds by frames and frames by sounds."),
    "classify": ("cavsync.cli.eval.classify:classify", "mAP and accuracy of a fine-tuned or probed model."),
    "localize": ("cavsync.cli.eval.localize:localize", "Where in the frame a model sees what it hears."),
    "inpaint": ("cavsync.cli.eval.inpaint:inpaint", "What a decoder makes of hidden patches, in frames and audio."),
    "sync": ("cavsync.cli.eval.sync:sync", "Injected offsets, the two-choice test, 21 classes, calibration."),
    "compare": ("cavsync.cli.eval.compare:compare", "Set two results side by side."),
}


@click.group("eval", cls=LazyGroup, lazy=EVAL_COMMANDS)
def evaluate() -> None:
    """Measure what a model is worth."""


COMMANDS = {
    "demo": ("cavsync.cli.demo:demo", "Generate clips, train, export and score: the whole line in minutes."),
    "data": ("cavsync.cli.main:data", "Make and check data sets."),
    "train": ("cavsync.cli.train:train", "Pretrain a model, fine-tune it, or probe it."),
    "average": ("cavsync.cli.average:average", "Average the weights of several checkpoints."),
    "convert": ("cavsync.cli.convert:convert", "Read the authors' checkpoints."),
    "export": ("cavsync.cli.export:export", "Write a bundle of ONNX graphs that proves itself."),
    "bundle": ("cavsync.cli.bundle:bundle", "Look into a bundle, or verify it to the byte."),
    "score": ("cavsync.cli.score:score", "Measure the sync of files."),
    "watch": ("cavsync.cli.watch:watch", "Score a live source while it plays."),
    "serve": ("cavsync.cli.serve:serve", "Score files and live streams over HTTP, with a live page."),
    "fix": ("cavsync.cli.fix:fix", "Copy a file without its offset, nothing re-encoded."),
    "eval": ("cavsync.cli.main:evaluate", "Measure what a model is worth."),
    "info": ("cavsync.cli.info:info", "Say which backends are usable, or the reasons why not."),
}


class RootGroup(ErrorHandlingGroup, LazyGroup):
    """The `cavsync` command."""


@click.group("cavsync", cls=RootGroup, lazy=COMMANDS)
@click.version_option(__version__, prog_name="cavsync")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, and every rejected clip.")
def main(verbose: bool) -> None:
    """Pretrain CAV-MAE Sync, export its encoders, and score audio-visual sync."""
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
