"""Train the run of the whole picture's bundle, and nothing more: what a machine with a GPU does for the rest.

    python models/whole_picture_run.py --real DATA --out OUT --device cuda --minutes 5 --within 8

Clips are generated first, which takes as long as the cores need: `--within` bounds both together. The model is trained
in rounds for as long as they pay (models/rounds.py), `--minutes` at most. An interrupted run is resumed, and one that
has ended is left as it is. `models/train_whole_picture.py --trained` exports and tests what is in OUT.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from footage import TRAINING, make_clips
from rounds import Progress
from steps import cavsync

from cavsync.atomic import write_text_atomically
from cavsync.data.synth import count_voices, read_truth, voices_sentence

CLIPS = "clips"
VOICES_NAME = "voices.json"
"""In the run: in how many of the generated clips that it was trained on espeak-ng speaks, and in how many not."""
RESERVE_MINUTES = 1.0
"""Besides generating and training: start of the process, decoding, last checkpoint, held-out measurement."""
LEAST_MINUTES = 0.5
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
    parser.add_argument("--minutes", type=float, default=240.0, help="most time to train")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="what trains")


def train(product: Product, clips: Path, run: Path, device: str, minutes_left: Callable[[Progress], float]) -> Progress:
    """Train the run in rounds, or go on with it, until it no longer improves or `minutes_left` are few.

    SystemExit where they are too few to begin.
    """
    data = [word for name in product.trained_on for word in ("--data", clips / name)]
    held_out = [word for name in product.calibrated_on for word in ("--held-out", clips / name)]
    repeats = f"repeats={json.dumps([*product.trained_on.values()])}"
    # They decode the clips into memory before the training.
    workers = f"workers={os.cpu_count() or 2}"
    changes = ("--set", repeats, "--set", f"accelerator={device}", "--set", workers)
    progress = Progress.read(run)
    while (end := progress.next_end()) is not None:
        minutes = minutes_left(progress)
        if minutes < LEAST_MINUTES and progress.steps:
            break
        # The limit counts what the run has taken in all its sessions.
        limits = ("--max-steps", end, "--max-minutes", progress.minutes + minutes)
        cavsync("train", "--preset", "sync-tiny", *data, *held_out, "--out", run, *changes, *limits, "--resume")
        write_text_atomically(run / VOICES_NAME, json.dumps(voices(product, clips)) + "\n")
        progress = Progress.read(run)
        if progress.steps < end:
            break
        if not progress.rounds or progress.rounds[-1].steps != end:
            sys.exit(f"The run in '{run}' measured no held-out clip after {end} steps: look at what it printed above.")
        print(f"{progress.steps} steps in {progress.minutes:.0f} minutes: {describe(progress)}", flush=True)
    print(f"training ended after {progress.steps} steps and {progress.minutes:.0f} minutes: {progress.why_ended()}")
    return progress


def voices(product: Product, clips: Path) -> dict[str, int]:
    """Return which voices the generated clips to train on have; a machine without espeak-ng makes other ones."""
    return count_voices(record for name in product.trained_on for record in read_truth(clips / name))


def describe(progress: Progress) -> str:
    """Say what the last round measured."""
    loss = f"the loss on held-out clips is {progress.rounds[-1].held_out_loss:.4f}"
    if len(progress.rounds) < 2:
        return loss
    return f"{loss}, {-progress.gain():+.1%} against that after {progress.rounds[-2].steps}"


def minutes_left(minutes: float, within: float | None, elapsed_seconds: float, progress: Progress) -> float:
    """Return for how long a run may go on: `minutes` bound what it takes in all, `within` this call with its clips.

    SystemExit where the clips of a new run left too little.
    """
    left = minutes - progress.minutes
    if within is None:
        return left
    rest = within - RESERVE_MINUTES - elapsed_seconds / 60
    if rest < LEAST_MINUTES and not progress.steps:
        sys.exit(
            f"Making the clips took {elapsed_seconds:.0f} s of {within:g} minutes, which leaves less than "
            f"{RESERVE_MINUTES + LEAST_MINUTES:g} to train in: run this again, or raise --within."
        )
    return min(left, rest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_training_options(parser)
    parser.add_argument("--within", type=float, help="minutes for all: training gets what the clips leave of them")
    options = parser.parse_args()
    begin = time.monotonic()
    product = SYNC_RESEARCH if options.research else SYNC_TINY
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    make_clips(options.real, out / CLIPS, TRAINING)

    print(voices_sentence(voices(product, out / CLIPS), hints=True), flush=True)

    def left(progress: Progress) -> float:
        return minutes_left(options.minutes, options.within, time.monotonic() - begin, progress)

    train(product, out / CLIPS, out / product.run_name, options.device, left)


if __name__ == "__main__":
    main()
