"""Options that several commands share."""

from __future__ import annotations

import json
from typing import Any

import click


def key_values(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Callback of `--set KEY=VALUE`: values are read as JSON where they are JSON, as text otherwise."""
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
