"""Make one folder, and one file of it, with this commit and the wheels that a GPU machine without a network may lack.

The machine has what PyTorch's own images have: torch, triton, NumPy, SciPy, Pillow, TensorBoard, pytest. What training
and `make gpu-check` import beside that is packed for Python 3.11 and 3.12; `make gpu-check` there installs what is
missing. The shipped models stay out. With --real, small copies of the footage that the shipped model was trained on are
added, and espeak-ng for the generated clips, so that `make sync-tiny DEVICE=cuda` can train it there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gpu_check import FOOTAGE, PACKAGES, ROOT, TOOLS, WHEELS
from measure import COMMIT_FILE, commit
from pack_espeak import download_espeak
from rich.progress import track

PACK = ROOT / "build" / "gpu-pack"
PACK_FILE = PACK.with_suffix(".tar.gz")
MAX_BYTES = 60_000_000
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")


def download(version: str) -> None:
    """Fetch the wheels of the pinned versions for one Python, such as "3.12"; many serve both."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", version, "--implementation", "cp", "--dest", str(WHEELS)]
    command += [word for name in PLATFORMS for word in ("--platform", name)]
    command += ["--constraint", str(ROOT / "constraints.txt"), *PACKAGES]
    subprocess.run(command, check=True)


def pack(real: Path | None) -> int:
    """Copy the commit, the wheels and the footage in `real` into one new folder and file; return its size in bytes."""
    shutil.rmtree(PACK, ignore_errors=True)
    with tempfile.TemporaryFile() as archive:
        subprocess.run(
            ["git", "-C", str(ROOT), "archive", "HEAD", ".", ":(exclude,glob)models/*/**", ":!docs"],
            stdout=archive,
            check=True,
        )
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(PACK, filter="data")
    # The rows that are measured there name it.
    (PACK / COMMIT_FILE.relative_to(ROOT)).write_text(commit() + "\n", encoding="utf-8")
    shutil.copytree(WHEELS, PACK / WHEELS.relative_to(ROOT))
    if real is not None:
        subprocess.run(
            [sys.executable, str(ROOT / "models/small_footage.py"), str(real), str(PACK / FOOTAGE)], check=True
        )
        download_espeak(PACK / TOOLS.relative_to(ROOT))
    with tarfile.open(PACK_FILE, "w:gz") as tar:
        tar.add(PACK, PACK.name)
    return PACK_FILE.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help="folder of clips with manifest.csv")
    options = parser.parse_args()
    shutil.rmtree(WHEELS, ignore_errors=True)
    for version in track(("3.11", "3.12"), "downloading wheels", transient=True):
        download(version)
    size = pack(options.real)
    if size > MAX_BYTES:
        sys.exit(f"'{PACK_FILE}' is {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}: pack fewer wheels.")
    print(f"{size / 1e6:.0f} MB in {PACK_FILE}: unpack it on the machine, then run `make gpu-check` there.")


if __name__ == "__main__":
    main()
