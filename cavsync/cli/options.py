"""Callbacks of options that several commands share."""

from __future__ import annotations

import json
from typing import Any

import click


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
