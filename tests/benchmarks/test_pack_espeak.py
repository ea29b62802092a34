"""espeak-ng as a GPU machine gets it: a library, a few voices, and a small program that speaks as the real one does."""

import ctypes
import io
import re
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cavsync.data.synth.espeak import ESPEAK, VOICES, espeak_available, espeak_speech

pytestmark = pytest.mark.skipif(not espeak_available(), reason="espeak-ng is not installed")
TEXT = "apple mama, open window about people, problem"


@pytest.fixture
def packed(load, tmp_path: Path) -> Path:
    """A folder with the packed program, of the library and voices of this machine."""
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    version = subprocess.run([ESPEAK, "--version"], capture_output=True, text=True, check=True).stdout
    (unpacked / "espeak-ng-data").symlink_to(version.partition("Data at: ")[2].strip())
    ctypes.CDLL("libespeak-ng.so.1")
    (library,) = set(re.findall(r"\S*/libespeak-ng\.so\S*", Path("/proc/self/maps").read_text()))
    shutil.copy(library, unpacked / "libespeak-ng.so")
    load("pack_espeak").write_espeak(unpacked, tmp_path / "tools")
    return tmp_path / "tools"


def spoken(program: str, voice: str) -> tuple[int, NDArray[np.int16]]:
    command = [program, "--stdout", "-v", voice, "-s", "140", "-p", "40", TEXT]
    done = subprocess.run(command, capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as reader:
        return reader.getframerate(), np.frombuffer(reader.readframes(len(done.stdout) // 2), "<i2")


@pytest.mark.parametrize("voice", [*VOICES, "en-us+m1", "en-gb+f4", "de+m7"])
def test_the_packed_program_speaks_as_the_installed_one(packed: Path, voice: str) -> None:
    rate_hz, expected = spoken(ESPEAK, voice)
    found_hz, found = spoken(str(packed / ESPEAK), voice)
    assert found_hz == rate_hz
    assert len(found) > rate_hz
    np.testing.assert_array_equal(found, expected)


def test_clips_speak_with_it(packed: Path, load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no other espeak-ng is, it is found through the environment of the steps."""
    expected = espeak_speech(np.random.default_rng(4), 1.0, 16000)
    check = load("gpu_check")
    monkeypatch.setattr(check, "TOOLS", packed)
    # A search path with Python only.
    (packed.parent / "bin").mkdir()
    (packed.parent / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(packed.parent / "bin"))
    assert not espeak_available()
    for name, value in check.environment().items():
        monkeypatch.setenv(name, value)
    assert shutil.which(ESPEAK) == str(packed / ESPEAK)
    found = espeak_speech(np.random.default_rng(4), 1.0, 16000)
    assert len(found.sounds) == len(expected.sounds)
    for ours, theirs in zip(found.sounds, expected.sounds, strict=True):
        np.testing.assert_array_equal(ours.samples, theirs.samples)


def test_a_voice_that_is_not_packed_is_refused(packed: Path) -> None:
    done = subprocess.run([packed / ESPEAK, "--stdout", "-v", "qqq+m1", TEXT], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"has no voice 'qqq+m1'" in done.stderr
