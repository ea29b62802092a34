"""Bundles that somebody tampered with: each is refused with a sentence of its own, and nothing else happens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import AUDIO, VISUAL, Attack, entry, forge, put, refusal, swap_middle_byte, write
from hypothesis import given, settings
from hypothesis import strategies as st

from cavsync.errors import BundleError
from cavsync.manifest import MANIFEST_NAME, read_manifest
from cavsync.manifest.files import MAX_BUNDLE_BYTES, MAX_FILE_BYTES
from cavsync.manifest.reading import MAX_MANIFEST_BYTES


@pytest.fixture
def folder(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


KINDS: dict[str, tuple[Attack, str]] = {
    "corrupt manifest": (write(MANIFEST_NAME, lambda data: data.replace(b"loudness", b"loudmess")), "its own digest"),
    "truncated manifest": (
        write(MANIFEST_NAME, lambda data: data[:-40]),
        "not valid JSON, the bundle was .* cut short",
    ),
    "oversized manifest": (
        write(MANIFEST_NAME, lambda data: data + b" " * MAX_MANIFEST_BYTES),
        "is larger than 1048576",
    ),
    "corrupt file": (write(AUDIO, swap_middle_byte), "differs from the hash in the manifest:"),
    "truncated file": (write(AUDIO, lambda data: data[:-1]), "differs from the hash in the manifest, it has .* bytes"),
    "oversized file": (
        put("files", AUDIO, "size_bytes", value=MAX_FILE_BYTES + 1),
        "or equal to 17179869184",
    ),
    "oversized bundle": (
        put("files", value={f"{number}.bin": entry(MAX_FILE_BYTES) for number in range(5)}),
        f"should have at most {MAX_BUNDLE_BYTES} bytes in all",
    ),
    "too many files": (
        put("files", value={f"{number}.bin": entry() for number in range(257)}),
        "declares files = .* should have at most 256 items",
    ),
    "path that leaves the bundle": (
        put("files", "../secret", value=entry()),
        "'../secret' in files, which should name",
    ),
    "unknown version": (put("format_version", value=3), "has bundle format 3, this cavsync reads 2"),
    "missing file": (lambda folder: (folder / AUDIO).unlink(), "lacks audio_encoder.onnx"),
    "file without a hash": (forge(lambda content: content["files"].pop(AUDIO)), "names 'audio_encoder.onnx' without"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_damage_is_refused(kind: str, folder: Path) -> None:
    attack, words = KINDS[kind]
    sentence = refusal(folder, attack)
    assert re.search(words, sentence), sentence


def test_each_kind_of_damage_has_its_own_sentence(bundle_path: Path, tmp_path: Path) -> None:
    sentences = {
        refusal(Path(shutil.copytree(bundle_path, tmp_path / str(index))), attack)
        for index, (attack, _) in enumerate(KINDS.values())
    }
    assert len({sentence.replace(AUDIO, "FILE") for sentence in sentences}) == len(KINDS)


def test_a_wrong_hash_is_refused_like_a_changed_file(folder: Path) -> None:
    """Neither side can tell which of the two was changed."""
    assert "differs from the hash in the manifest:" in refusal(folder, put("files", AUDIO, "sha256", value="0" * 64))


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.onnx", "/etc/passwd", "sub/graph.onnx", "..\\outside.onnx", "C:graph.onnx", "", ".", ".."),
        *("a\nb", "x" * 201, "\u202egraph.onnx"),
    ],
)
def test_names_stay_inside(name: str, folder: Path) -> None:
    (folder.parent / "outside.onnx").write_bytes((folder / AUDIO).read_bytes())

    def change(content: dict[str, Any]) -> None:
        content["files"][name] = content["files"][AUDIO]
        content["audio_encoder"]["file"] = name

    sentence = refusal(folder, forge(change))
    assert "in files, which should name a plain file inside the bundle" in sentence


def test_one_name_in_two_spellings(folder: Path) -> None:
    shutil.copy(folder / AUDIO, folder / AUDIO.upper())
    attack = forge(lambda content: content["files"].update({AUDIO.upper(): content["files"][AUDIO]}))
    assert "differ in case alone" in refusal(folder, attack)


def test_one_name_twice(folder: Path) -> None:
    twice = write(
        MANIFEST_NAME, lambda data: data.replace(b' "files": {', b' "files": {"parity.json": 1, "parity.json": 1,')
    )
    assert "names 'parity.json' twice" in refusal(folder, twice)


def replace_by(make: Callable[[Path], object], name: str) -> Attack:
    def attack(folder: Path) -> None:
        (folder / name).rename(folder.parent / name)
        make(folder / name)

    return attack


@pytest.mark.parametrize("name", [MANIFEST_NAME, VISUAL])
@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_only_plain_files_are_opened(kind: str, name: str, folder: Path) -> None:
    """A link to the very file is a link too, and a pipe would be waited on for ever."""
    makers: dict[str, Callable[[Path], object]] = {
        "link": lambda path: path.symlink_to(path.parent.parent / name),
        "dangling link": lambda path: path.symlink_to("nothing"),
        "folder": Path.mkdir,
        "pipe": os.mkfifo,
    }
    assert f"{name} is a link, folder or pipe" in refusal(folder, replace_by(makers[kind], name))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", [MANIFEST_NAME, VISUAL])
def test_files_that_may_not_be_read(name: str, folder: Path) -> None:
    assert "cannot be read (Permission denied)" in refusal(folder, lambda folder: (folder / name).chmod(0))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_or_cut_of_the_manifest_is_refused(bundle_path: Path, data: st.DataObject) -> None:
    """BundleError and never another exception, wherever it happens."""
    sealed = (bundle_path / MANIFEST_NAME).read_bytes()
    place = data.draw(st.integers(0, len(sealed) - 1), "place")
    if data.draw(st.booleans(), "cut"):
        changed = sealed[:place]
    else:
        other = sealed[place] ^ data.draw(st.integers(1, 255), "bits")
        changed = sealed[:place] + bytes([other]) + sealed[place + 1 :]
    copy = bundle_path.parent / "changed"
    copy.mkdir(exist_ok=True)
    (copy / MANIFEST_NAME).write_bytes(changed)
    with pytest.raises(BundleError):
        read_manifest(copy)


ONLY_READS = """
import os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod",
           "tempfile.mkstemp", "tempfile.mkdtemp", "subprocess.Popen", "os.system", "pickle.find_class"}

def watch(event, arguments):
    if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
        print("CHANGED", event, arguments, flush=True)

from cavsync.cli.main import main
sys.addaudithook(watch)
for command in ("show", "verify"):
    try:
        main(["bundle", command, sys.argv[1]], standalone_mode=False)
    except SystemExit as end:
        assert end.code in (None, 0), end.code
"""


def test_reading_writes_nothing(folder: Path, tmp_path: Path) -> None:
    """No file is made, changed or removed: not in the bundle, not where the program runs, not in the home folder."""
    here = tmp_path / "here"
    here.mkdir()

    def tree() -> dict[str, tuple[int, int]]:
        stats = {str(path): path.lstat() for path in [tmp_path, *tmp_path.rglob("*")]}
        return {name: (found.st_mtime_ns, found.st_size) for name, found in stats.items()}

    before = tree()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "CI"))}
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", ONLY_READS, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=here,
        env={**kept, "TMPDIR": str(here), "HOME": str(here)},
    )
    assert done.returncode == 0, done.stderr
    assert "CHANGED" not in done.stdout, done.stdout
    assert tree() == before
