"""Every command of `cavsync`, found by walking its groups."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cavsync.cli.main import main

Words = tuple[str, ...]


def walk(command: click.Command = main, path: Words = ()) -> Iterator[tuple[Words, click.Command]]:
    """Words after `cavsync` and the command that they name, groups before their commands."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from walk(found, (*path, name))


COMMANDS: dict[Words, click.Command] = dict(walk())
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


def title(path: Words) -> str:
    """The command as it is typed."""
    return " ".join(["cavsync", *path])
