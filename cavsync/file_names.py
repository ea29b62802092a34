"""File names in output: as text in results, on a terminal, and as FFmpeg opens them.

A file name is a string of bytes. Python keeps bytes that are not UTF-8 as lone surrogates, which no output can encode.
"""

from __future__ import annotations

import re
from pathlib import Path

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LONE = re.compile(r"[\ud800-\udfff]")
_LOOKS_ESCAPED = re.compile(r"\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")
# Control characters, line and paragraph separators, and marks that reorder the text around them.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def legible(text: str) -> str:
    r"""Return a name, or a text with names in it, with `\xNN` for each byte that is not UTF-8.

    Nothing else changes, except that a text with such bytes has `\x5c` for a backslash that would read as part of an
    escape, so that replacing every `\xNN` by its byte gives the name back.
    """
    return text if _LONE.search(text) is None else escaped(text)


def escaped(name: str) -> str:
    r"""Return a name as `legible` does, with `\x5c` for every backslash that would read as part of an escape.

    No two names of files give the same text, and `unescaped` gives the name back. Use it once, on the name itself.
    """
    return _LONE.sub(_escape, _LOOKS_ESCAPED.sub(r"\\x5c", name))


def unescaped(text: str) -> str:
    """Return the name of which `escaped` made `text`."""
    return _ESCAPED.sub(_unescape, text)


def printable(text: str) -> str:
    r"""Return a text for a terminal, which obeys nothing in it: `legible`, with `\xNN` for control characters."""
    return _CONTROLS.sub(_escape, legible(text))


def is_address(source: str) -> bool:
    """Whether `source` is an address such as `https://...` rather than the path of a file."""
    return _ADDRESS.match(source) is not None


def ffmpeg_path(path: str | Path) -> str:
    """Return the path in the form in which FFmpeg reads no protocol into it, as it does into `12:30 meeting.mp4`."""
    return str(Path(path).absolute())


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    # Python keeps the byte NN as the surrogate dcNN.
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _unescape(match: re.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte if byte < 0x80 else 0xDC00 + byte)


HIDDEN = "***"
_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s'\"@:]*):[^/?#\s'\"]*@", re.IGNORECASE)
_SECRET_WORDS = (
    "pass(?:word|phrase|wd)?|pwd|token|secret|key|signature|sig|auth|credential|streamid|jwt|hmac|hdn(?:ea|ts|tl)|"
    "session|ticket"
)
_SECRET_NAME = rf"[\w.%-]*(?:{_SECRET_WORDS})[\w.%-]*"
_SECRET_VALUE = re.compile(rf"(?P<name>[?&;]{_SECRET_NAME}=)[^&;\s'\"#]*", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` with `***` for the password of every address and the value of every query entry that may be secret.

    An SRT `streamid` counts as secret, because it often carries a key.
    """
    hidden = _USER_INFO.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
    return _SECRET_VALUE.sub(rf"\g<name>{HIDDEN}", hidden)
