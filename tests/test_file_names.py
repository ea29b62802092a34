"""Names of files as text, on a terminal, and as what FFmpeg opens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavsync.errors import MediaError
from cavsync.file_names import escaped, ffmpeg_path, is_address, legible, printable, unescaped


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"clip.mp4", "clip.mp4"),
        ("é 😀 \N{ZERO WIDTH JOINER}.mp4".encode(), "é 😀 \N{ZERO WIDTH JOINER}.mp4"),
        (b"caf\xe9.mp4", r"caf\xe9.mp4"),
        (b"\x80\xff\\\\x", "\\x80\\xff\\\\x"),
        (b"\\xe9\xe9", r"\x5cxe9\xe9"),
        (b"C:\\x64\\clip.mp4", r"C:\x64\clip.mp4"),
    ],
)
def test_bytes_that_are_not_utf_8_are_escaped_and_come_back(name: bytes, shown: str) -> None:
    text = legible(os.fsdecode(name))
    assert text == shown
    text.encode("utf-8")
    if b"\xe9" in name or b"\xff" in name:
        back = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode())
        assert back == name or "é" in shown


def test_every_byte_comes_back() -> None:
    name = bytes(range(1, 256)).replace(b"/", b"") + rb"\x41"
    text = legible(os.fsdecode(name))
    assert re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), text.encode()) == name


@given(st.lists(st.sampled_from([b"\\", b"x", b"5", b"c", b"e", b"9", b"\xe9", b"\xff", "é".encode()]), max_size=12))
def test_no_two_names_are_escaped_alike(parts: list[bytes]) -> None:
    name = os.fsdecode(b"".join(parts))
    escaped(name).encode("utf-8")
    assert unescaped(escaped(name)) == name


def test_a_name_that_looks_escaped_is_no_other_name() -> None:
    assert [escaped(name) for name in (os.fsdecode(b"caf\xe9"), r"caf\xe9", r"a\b", "é")] == (
        [r"caf\xe9", r"caf\x5cxe9", r"a\b", "é"]
    )


def test_a_terminal_obeys_nothing_in_a_name() -> None:
    assert printable("\x1b[31mred\x07\r\n\x9b.mp4") == r"\x1b[31mred\x07\x0d\x0a\x9b.mp4"
    assert printable("4pm.\u202egpj") == r"4pm.\u202egpj"
    assert printable(os.fsdecode(b"\xff")) == r"\xff"
    assert printable("Ünï 'quoted' \"twice\" 😀.mp4") == "Ünï 'quoted' \"twice\" 😀.mp4"


def test_messages_of_errors_can_be_written_anywhere() -> None:
    assert str(MediaError(f"{os.fsdecode(b'caf%c' % 0xE9)} is empty")) == r"caf\xe9 is empty"


@pytest.mark.parametrize("name", ["12:30 meeting.mp4", "C:clip.mp4", "concat:x.mp4", "a/b://c.mp4", "-", "data:,x"])
def test_names_are_no_addresses(name: str) -> None:
    assert not is_address(name)
    assert ffmpeg_path(name) == f"{Path.cwd()}/{Path(name)}"
    assert is_address("https://a.b/c.mp4")
