"""Train the run of the whole picture's bundle, and nothing more: what a machine with a GPU does for the rest.

    python models/whole_picture_run.py --real DATA --out OUT --device cuda --minutes 5

An interrupted run is resumed. `models/train_whole_picture.py --trained` exports and tests what is in OUT.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

from footage import TRAINING, make_clips
from steps import cavsync

CLIPS = "clips"
CITED = (
    "generated clips (ours) and on clips of GRID (Cooke, Barker, Cunningham and Shao 2006, CC BY 4.0) and HDTF (Zhang, "
    "Li, Ding and Fan 2021, CC BY 4.0)"
)


@dataclass(frozen=True)
class Product:
    """A bundle: the folders of clips that it is trained on, each visited `repeats` times an epoch, those held out, and
    how many clips of each of these calibrate it."""

    name: str
    trained_on: dict[str, int]
    calibrated_on: dict[str, int]
    licence: str

    @property
    def run_name(self) -> str:
        return f"{self.name}-run"


SYNC_TINY = Product(
    "sync-tiny",
    {"worlds": 1, "drawings": 1, "talking": 9},
    {"held-out-worlds": 27, "held-out-talking": 12},
    f"Apache-2.0; trained on {CITED}",
)
SYNC_RESEARCH = Product(
    "sync-research",
    {"worlds": 1, "drawings": 1, "talking": 4, "research": 7},
    {"held-out-worlds": 18, "held-out-talking": 12, "held-out-research": 11},
    f"CC BY-NC 4.0, for research only; trained on {CITED}, and on excerpts of videos whose footage stays with its "
    "uploaders (VGGSound, AVSync15, AVSBench, VAS, Greatest Hits and pages of research projects)",
)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add what the training and all that follows have in common."""
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, run, bundles and reports")
    parser.add_argument("--research", action="store_true", help="build sync-research")
    parser.add_argument("--minutes", type=float, default=120.0, help="time to train")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="what trains")


def train(product: Product, clips: Path, run: Path, minutes: float, device: str) -> None:
    """Train the run, or go on with it."""
    data = [word for name in product.trained_on for word in ("--data", clips / name)]
    held_out = [word for name in product.calibrated_on for word in ("--held-out", clips / name)]
    repeats = f"repeats={json.dumps([*product.trained_on.values()])}"
    limits = ("--set", repeats, "--set", f"accelerator={device}", "--max-minutes", minutes, "--resume")
    cavsync("train", "--preset", "sync-tiny", *data, *held_out, "--out", run, *limits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_options(parser)
    options = parser.parse_args()
    product = SYNC_RESEARCH if options.research else SYNC_TINY
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    make_clips(options.real, out / CLIPS, TRAINING)
    train(product, out / CLIPS, out / product.run_name, options.minutes, options.device)


if __name__ == "__main__":
    main()
