"""How far cues without learning get on generated clips, family by family.

    python benchmarks/world_baselines.py [--families all] [--clips 24] [--clutter 1]

Draws clips with offsets in ±800 ms and estimates each by the lag at which a cue of the frames agrees best with one of
the sound: motion energy with the rise of the loudness and with the loudness (the baselines of `cavsync eval sync`), the
strongest motion anywhere in the frame with the rise, the beginnings of motion with the rise (onsets), and the ends of
motion with the rise (what strikes stops). Prints the share of clips within 100 ms, in %, with its 95 % interval. Each
cue is given, for each family, the constant that suits it best, because motion precedes some sounds by a constant time;
what guesses reach with such a constant is printed last.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from cavsync.data.synth import ClipSpec, draw_specs, render
from cavsync.evaluate.sync.motion_baseline import estimate_offset_ms, log_energy

RESULTS = Path(__file__).parent / "results" / "world_baselines.jsonl"
CUES = ("motion and rise", "motion and loudness", "strongest spot and rise", "onsets", "ends of motion")
TOLERANCE_MS, MAX_OFFSET_MS, SEARCH_MS = 100.0, 800.0, 1000.0
SIDE_PX, GRID_HZ, BLOCK_PX = 64, 100, 8
GUESSED_SETS = 1000
Signal = NDArray[np.float64]


def best_offset_ms(motion: Signal, envelope: Signal) -> float:
    """Return the offset at which a cue of the frames and one of the sound, both at GRID_HZ, correlate best."""
    steps = round(SEARCH_MS / 1000 * GRID_HZ)
    scores = []
    for lag in range(-steps, steps + 1):
        first, second = (
            motion[max(-lag, 0) : len(motion) - max(lag, 0)],
            envelope[max(lag, 0) :][: len(motion) - abs(lag)],
        )
        constant = first.std() == 0 or second.std() == 0
        scores.append(0.0 if constant else float(np.corrcoef(first, second)[0, 1]))
    return -(int(np.argmax(scores)) - steps) * 1000 / GRID_HZ


def estimates_ms(spec: ClipSpec) -> list[float]:
    """Return the offsets that the cues give for one clip."""
    clip = render(spec)
    pairs = [
        (pts, np.asarray(Image.fromarray(frame).convert("L").resize((SIDE_PX, SIDE_PX)))) for pts, frame in clip.frames
    ]
    pts, frames = np.array([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
    audio = clip.audio.mean(axis=1)
    plain = estimate_offset_ms(frames, pts, audio, spec.audio_rate_hz, SEARCH_MS)
    grid = np.arange(pts[1], min(pts[-1], spec.duration_seconds), 1 / GRID_HZ)
    loudness = log_energy(audio, spec.audio_rate_hz, grid)
    rise = np.maximum(np.diff(loudness, prepend=loudness[0]), 0.0)
    changes = np.abs(np.diff(frames.astype(np.int16), axis=0))
    count = SIDE_PX // BLOCK_PX
    blocks = changes.reshape(-1, count, BLOCK_PX, count, BLOCK_PX).mean(axis=(2, 4)).reshape(len(changes), -1)
    spot, energy = (np.interp(grid, pts[1:], signal) for signal in (blocks.max(axis=1), changes.mean(axis=(1, 2))))
    change = np.gradient(energy)
    cues = [(spot, rise), (np.maximum(change, 0), rise), (np.maximum(-change, 0), rise)]
    return [plain.rise.audio_offset_ms, plain.energy.audio_offset_ms, *(best_offset_ms(*cue) for cue in cues)]


def most_within(errors_ms: Signal) -> int:
    """Return how many of the errors at most lie within the tolerance of one constant."""
    constants = np.arange(-200, 201, 20)
    return int(max((np.abs(errors_ms - constant) <= TOLERANCE_MS).sum() for constant in constants))


def share_within(errors_ms: Signal) -> tuple[float, float, float]:
    """Return the share that `most_within` is, and its 95 % interval (Wilson 1927)."""
    found = most_within(errors_ms)
    interval = binomtest(found, len(errors_ms)).proportion_ci(method="wilson")
    return found / len(errors_ms), float(interval.low), float(interval.high)


def guessed_share(clips: int, seed: int) -> float:
    """Return the share that guesses reach on so many clips, given the constant that suits them best."""
    random = np.random.default_rng(seed)
    truth = random.uniform(-MAX_OFFSET_MS, MAX_OFFSET_MS, size=(GUESSED_SETS, clips))
    guesses = random.uniform(-SEARCH_MS, SEARCH_MS, size=(GUESSED_SETS, clips))
    return float(np.mean([most_within(errors_ms) for errors_ms in guesses - truth])) / clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="all", help="names of families, or flat, worlds, all")
    parser.add_argument("--clips", type=int, default=24, help="clips per family")
    parser.add_argument("--seed", type=int, default=77000)
    parser.add_argument("--duration-seconds", type=float, default=6.0)
    parser.add_argument("--clutter", type=float, default=1.0, help="as for `cavsync data synth`")
    parser.add_argument("--keep", action="store_true", help="append a row to benchmarks/results")
    options = parser.parse_args()
    families = list(dict.fromkeys(spec.family for spec in draw_specs(99, 0, families=options.families.split(","))))
    rows = {}
    print("| family | " + " | ".join(CUES) + " |\n" + "|---" * (len(CUES) + 1) + "|")
    for family in families:
        begin = time.process_time()
        specs = draw_specs(options.clips, options.seed, families=[family], max_offset_ms=MAX_OFFSET_MS, plain=True,
                           duration_seconds=options.duration_seconds, clutter=options.clutter, size=(128, 96),
                           fps=Fraction(25))  # fmt: skip
        errors = np.array([np.array(estimates_ms(spec)) - spec.audio_offset_ms for spec in specs])
        shares = [[round(value, 3) for value in share_within(column)] for column in errors.T]
        rows[family] = dict(zip(CUES, shares, strict=True))
        cells = " | ".join(f"{100 * share:.0f} ({100 * low:.0f}-{100 * high:.0f})" for share, low, high in shares)
        print(f"| {family} | {cells} |   ({(time.process_time() - begin) / len(specs):.1f} s per clip)", flush=True)
    guessed = guessed_share(options.clips, options.seed)
    print(f"Guesses: {100 * guessed:.0f}")
    if options.keep:
        row = {"date": datetime.now(UTC).date().isoformat(), **{k: v for k, v in vars(options).items() if k != "keep"},
               "tolerance_ms": TOLERANCE_MS, "max_offset_ms": MAX_OFFSET_MS, "guessed_share": round(guessed, 3),
               "share_within_with_interval": rows}  # fmt: skip
        with RESULTS.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
