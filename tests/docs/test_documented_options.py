"""The documentation names every command, and no option that the command next to it does not have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_tree import COMMANDS, Words, title
from documents import PAGES, ROOT, name_of

REFERENCE = ROOT / "docs" / "reference" / "cli.md"
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
# A fenced block with its language, or text between backquotes, which may go on in the next line.
CODE = re.compile(r"^```(\w*)\n(.*?)^```|`([^`]+)`", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"(?:^|\s)(?:cavsync|\$\(which cavsync\))(?=\s|$)")
every_command = pytest.mark.parametrize("words", COMMANDS, ids=title)
every_document = pytest.mark.parametrize("document", PAGES, ids=name_of)


def command_lines(text: str) -> Iterator[list[str]]:
    """Words after `cavsync` of every command line in blocks of shell commands and between backquotes."""
    for language, block, inline in CODE.findall(text):
        if language in ("text", "python", "json"):
            continue
        lines = block.replace("\\\n", " ").splitlines() or [" ".join(inline.split())]
        for line in lines:
            found = CALL.split(line.partition(" #")[0], maxsplit=1)
            if len(found) == 2 and not found[0].lstrip().startswith(("#", "gst-launch")):
                # Brackets mark what may be left out; the rest of a pipeline is another program.
                yield shlex.split(re.split(r"[|;&>]", found[1].replace("[", " ").replace("]", " "))[0])


def named(line: list[str]) -> tuple[Words, list[str]]:
    """The command that a line names, and the options that it gives."""
    path: Words = ()
    for word in line:
        if isinstance(COMMANDS[path], click.Group) and not word.startswith("-"):
            # A word in capitals stands for any command.
            if word.isupper():
                break
            path = (*path, word)
            assert path in COMMANDS, f"there is no command {title(path)}"
    return path, [word.partition("=")[0] for word in line if re.match(r"--?[a-z]", word)]


def options(command: click.Command) -> set[str]:
    given = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
    return {"--help", *given}


def others(text: str) -> set[str]:
    """Options of other programs: the launcher of several processes, cavsync-score, our own benchmarks, build tools."""
    launches = re.findall(r"^torchrun (?:.*\\\n)*.*(?=cavsync\))", text, re.MULTILINE)
    found = {option for launch in launches for option in OPTION.findall(launch)}
    # What is built against the installed library is tried out there.
    building = ROOT / "tests" / "native" / "test_installed.py"
    programs = [ROOT / "deploy" / "native" / "program" / "main.cpp", building, *(ROOT / "benchmarks").glob("*.py")]
    return found.union(*(OPTION.findall(path.read_text("utf-8")) for path in programs))


@every_document
def test_options_belong_to_the_command_of_their_line(document: Path) -> None:
    for line in command_lines(document.read_text("utf-8")):
        path, given = named(line)
        allowed = {option for step in range(len(path) + 1) for option in options(COMMANDS[path[:step]])}
        assert set(given) <= allowed, f"{title(path)} has no {sorted(set(given) - allowed)}"


@every_document
def test_options_in_running_text_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    known = set().union(*map(options, COMMANDS.values()))
    assert set(OPTION.findall(text)) - others(text) - known == set()


def test_lines_are_found_where_they_are() -> None:
    """The parser of this file: comments, pipes, variables, continued lines, quotes, text between backquotes."""
    text = (
        "```\nA=1 cavsync score a.mp4 --json - | head -1  # --csv\n# cavsync fix\n"
        "cavsync train \\\n  --out 'a b'\n```\n"
        "`cavsync eval\nTASK --json` and `--html`; cavsync info\n```python\ncavsync.x\n```\n"
    )
    assert [named(line) for line in command_lines(text)] == [
        (("score",), ["--json"]),
        (("train",), ["--out"]),
        (("eval",), ["--json"]),
    ]
    with pytest.raises(AssertionError, match="no command cavsync eval nonsense"):
        named(["eval", "nonsense"])


def test_every_command_is_shown_in_a_page_written_by_hand() -> None:
    shown = {named(line)[0] for page in PAGES for line in command_lines(page.read_text("utf-8"))}
    leaves = {path for path, command in COMMANDS.items() if not isinstance(command, click.Group)}
    assert leaves - shown == set()


def test_the_reference_is_generated_from_the_commands() -> None:
    """mkdocs-click writes every command below `cavsync`, with all options."""
    (directive,) = re.findall(r"^::: mkdocs-click\n((?:    .*\n)+)", REFERENCE.read_text("utf-8"), re.MULTILINE)
    assert "    :module: cavsync.cli.main\n    :command: main\n    :prog_name: cavsync\n" in directive
    assert not re.search(":depth: [^1]|:remove_|:show_hidden|:command_name", directive)


@every_command
def test_every_command_and_option_has_a_help(words: Words) -> None:
    command = COMMANDS[words]
    assert command.help
    assert command.help.strip()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert (parameter.help or "").strip(), parameter.opts
            assert not parameter.hidden
    if isinstance(command, click.Group):
        summaries = re.findall(
            r"^  ([\w-]+) +(\S.*)$", command.get_help(click.Context(command)).partition("Commands:")[2], re.M
        )
        assert [name for name, _ in summaries] == command.list_commands(click.Context(command))
