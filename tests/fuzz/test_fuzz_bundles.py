"""Damaged bundles: opened, or refused in a sentence."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
from fake_bundle import write_fake_bundle
from fuzzing import damaged, fuzz
from hostile import AUDIO, seal
from hypothesis import strategies as st

from cavsync.deploy import Bundle
from cavsync.errors import BundleError
from cavsync.manifest import MANIFEST_NAME, describe_files, read_manifest


def test_manifests(tmp_path: Path) -> None:
    """The bytes; and the text of the entries, with a digest that fits."""
    folder = write_fake_bundle(tmp_path / "bundle")
    whole = (folder / MANIFEST_NAME).read_bytes()

    def open_it(data: bytes) -> None:
        with suppress(ValueError, RecursionError):
            content = json.loads(data)
            if isinstance(content, dict):
                data = seal(content)
        (folder / MANIFEST_NAME).write_bytes(data)
        with suppress(BundleError):
            read_manifest(folder)
        with suppress(BundleError):
            Bundle.open(folder, threads=1)

    numbers = [whole.replace(b"25.0", text) for text in (b"1e308", b"-0.0", b"99999999999999999999", b'"x"', b"[[]]")]
    fuzz("manifests", open_it, damaged([whole, *numbers], most=2), examples=60)


def test_graphs(tmp_path: Path) -> None:
    """With a hash that fits; what opens is computed too."""
    folder = write_fake_bundle(tmp_path / "bundle")
    whole = (folder / AUDIO).read_bytes()
    manifest = (folder / MANIFEST_NAME).read_bytes()

    def open_it(data: bytes) -> None:
        copy = folder.parent / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        (copy / AUDIO).write_bytes(data)
        content = json.loads(manifest)
        (entry,) = describe_files(copy, [AUDIO]).values()
        content["files"][AUDIO] = vars(entry)
        (copy / MANIFEST_NAME).write_bytes(seal(content))
        with suppress(BundleError):
            bundle = Bundle.open(copy, threads=1)
            bundle.embed_audio(np.zeros((2, 6, 128), np.float32))

    fuzz("graphs", open_it, damaged([whole]) | st.binary(max_size=200), examples=40)
