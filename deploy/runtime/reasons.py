"""Format a third-party error as one printable clause."""

from __future__ import annotations

MAX_LETTERS = 200
LAST_LINE = -1


def reason(error: Exception | str, line: int = 0) -> str:
    """Return one line of an exception's text, by default the first, shortened and printable."""
    lines = [text.strip() for text in str(error).splitlines() if text.strip()]
    return plain(lines[line].rstrip(". ")) if lines else "no reason given"


def plain(text: str) -> str:
    """Shorten untrusted text and replace characters that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_LETTERS])
