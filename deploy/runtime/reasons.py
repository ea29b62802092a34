"""What a library says when it fails, as part of a sentence."""

from __future__ import annotations

MAX_LETTERS = 200
LAST_LINE = -1


def reason(error: Exception | str, line: int = 0) -> str:
    """One line of what an exception says, by default the first: short, and without what a terminal would obey."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return plain(lines[line].rstrip(". ")) if lines else "no reason given"


def plain(text: str) -> str:
    """What a stranger's file says of itself, short and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_LETTERS])
