"""Write docs/cli.md, the help of every command (`make docs-cli`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from cavsync.cli.main import main

WIDTH = 100
HEADER = """\
# Command line

The help of every command, written by `make docs-cli`.

| exit status | |
|---|---|
| 0 | success |
| 1 | failure: an input, model or bundle cannot be used, or a package is missing |
| 2 | bad usage: an unknown option, a value out of range, options that contradict each other |
| 3 | `cavsync score --fail-on`: the verdict on an input is one of those named |
| 130, 143 | interrupted by Ctrl-C; ended by SIGTERM (`cavsync data pack` ends with 130, `cavsync serve` with 0) |

An error is one line on stderr that begins with `error:`; a traceback is a defect of cavsync.
"""


def pages(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    """The section of `command`, then those of the commands below it."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    yield f"\n## {context.command_path}\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from pages(found, below, context)


def text() -> str:
    """The whole page."""
    return HEADER + "".join(pages(main, "cavsync"))


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(text(), encoding="utf-8")
