"""Every option that the documentation names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cavsync.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def options(command: click.Command) -> Iterator[str]:
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from options(found)


def others(text: str) -> set[str]:
    """Options of other programs: of the launcher of several processes, and of our own benchmarks."""
    launches = re.findall(r"^torchrun (?:.*\\\n)*.*(?=cavsync\))", text, re.MULTILINE)
    found = {option for launch in launches for option in OPTION.findall(launch)}
    return found.union(*(OPTION.findall(path.read_text("utf-8")) for path in (ROOT / "benchmarks").glob("*.py")))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_options_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    named = set(OPTION.findall(text))
    assert named
    assert named - others(text) - set(options(main)) == set()
