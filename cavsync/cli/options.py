"""Options that several commands share, and their callbacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click


def channels_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --channels, to a command that also takes audio which was stored by one of the rules."""
    return _channels(
        command,
        "Shards and lists that name the other rule are refused.  [default: mix; for stored audio, its own rule]",
    )


def channels_of_videos_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --channels, to a command that takes no stored audio."""
    return _channels(command, "[default: mix]")


def _channels(command: Callable[..., Any], ending: str) -> Callable[..., Any]:
    return click.option(
        "--channels",
        type=click.Choice(["mix", "first"]),
        help="How several audio channels become one: their mean (mix), or the first, as in the published preparation "
        f"of CAV-MAE. {ending}",
    )(command)


def key_values(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Parse the values of `--set KEY=VALUE`, each as JSON if it is valid JSON, else as text."""
    parsed: dict[str, Any] = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"'{value}' is not of the form key=value.", context, parameter)
        try:
            parsed[key] = json.loads(text)
        except ValueError:
            parsed[key] = text
    return parsed
