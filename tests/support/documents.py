"""The pages of the documentation, their blocks of code, and why some of these are not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BY_HAND = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")]
PAGES = [*BY_HAND, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(?:<!-- not run: ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and line, its language, its text, and why it is not run (None where it is)."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str | None

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """Name of a page below the root of the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    text = page.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        reason, language, body = match.groups()
        line = text.count("\n", 0, match.start(2)) + 1
        found.append(Block(page, line, language, body, reason))
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
