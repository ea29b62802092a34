"""Ways to tamper with a bundle, and the sentence that then refuses it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cavsync.deploy import Bundle
from cavsync.errors import BundleError
from cavsync.manifest import MANIFEST_NAME

AUDIO, VISUAL = "audio_encoder.onnx", "visual_encoder.onnx"
Attack = Callable[[Path], object]


def seal(content: dict[str, Any]) -> bytes:
    """Return a valid manifest file with a matching digest, which a forger can compute too."""

    def written(entries: dict[str, Any]) -> bytes:
        return (json.dumps(entries, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "replace")

    content.pop("digest", None)
    return written(content | {"digest": hashlib.sha256(written(content)).hexdigest()})


def forge(change: Callable[[dict[str, Any]], object]) -> Attack:
    """Change the manifest's content and update its digest."""

    def attack(folder: Path) -> None:
        content = json.loads((folder / MANIFEST_NAME).read_text())
        change(content)
        (folder / MANIFEST_NAME).write_bytes(seal(content))

    return attack


def put(*keys: str | int, value: Any) -> Attack:
    """Set one entry of the manifest."""

    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return forge(change)


def update(**sections: dict[str, Any]) -> Attack:
    """Set several entries of sections of the manifest."""
    return forge(lambda content: [content[name].update(entries) for name, entries in sections.items()])


def write(name: str, edit: Callable[[bytes], bytes]) -> Attack:
    """Change the bytes of a file."""
    return lambda folder: (folder / name).write_bytes(edit((folder / name).read_bytes()))


def refusal(folder: Path, attack: Attack) -> str:
    """Return the sentence without the path, in which messages differ anyway."""
    attack(folder)
    with pytest.raises(BundleError) as caught:
        Bundle.open(folder, threads=1)
    sentence = str(caught.value)
    assert sentence.isprintable(), "expected one printable line"
    assert len(sentence) < 400 + len(str(folder))
    problem, _, advice = sentence.partition(": ")
    assert problem
    assert advice
    return sentence.replace(str(folder), "BUNDLE")


def entry(size_bytes: Any = 1, sha256: Any = "0" * 64) -> dict[str, Any]:
    return {"sha256": sha256, "size_bytes": size_bytes}


def engine(**entries: Any) -> dict[str, Any]:
    return {
        "graph": "audio_encoder",
        "runtime": "openvino",
        "precision": "fp16",
        "file": AUDIO,
        "companions": [],
        **entries,
    }


def swap_middle_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
