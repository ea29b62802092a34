"""Time of the similarity of all pairs of clips, compared with nested loops over pairs of clips and frames.

The loops follow the public retrieval script of CAV-MAE Sync: for each pair of clips, one cosine per pair of frames.
They are timed on some rows and extrapolated to all; both ways must give the same numbers.

python benchmarks/retrieval_similarity.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from cavsync.evaluate.retrieval.similarity import SIMILARITIES, clip_similarity, rank_counts


def unit_vectors(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return random unit vectors, float32."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    units: np.ndarray = values / np.linalg.norm(values, axis=-1, keepdims=True)
    return units


def by_loops(visual: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Return the mean of the diagonal cosines (n, m), computed one pair of frames at a time."""
    found = np.empty((len(visual), len(audio)))
    for i, frames in enumerate(visual):
        for j, segments in enumerate(audio):
            cosines = [
                np.dot(frame, segment) / (np.linalg.norm(frame) * np.linalg.norm(segment))
                for frame, segment in zip(frames, segments, strict=True)
            ]
            found[i, j] = np.mean(cosines)
    return found


def main() -> None:
    """Print the seconds of both ways and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1520)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--loop-rows", type=int, default=12, help="rows computed by the loops")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    shape = (options.clips, options.frames, options.width)
    visual, audio = unit_vectors(shape, 0), unit_vectors(shape, 1)
    rows = min(options.loop_rows, options.clips)

    loops, products = [], []
    for turn in range(options.turns):
        part = slice(turn * rows // options.turns, (turn + 1) * rows // options.turns)
        start = time.perf_counter()
        expected = by_loops(visual[part], audio)
        loops.append((time.perf_counter() - start) / max(1, part.stop - part.start))
        start = time.perf_counter()
        found = clip_similarity(visual, audio, "diagonal-mean")
        products.append(time.perf_counter() - start)
        assert np.abs(found[part] - expected).max() < 1e-5 if len(expected) else True
    loop_seconds, product_seconds = float(np.median(loops)) * options.clips, float(np.median(products))
    print(f"{options.clips} x {options.clips} clips, {options.frames} frames, {options.width} wide")
    print(f"loops over pairs of frames   {loop_seconds:9.1f} s (from {rows} rows)")
    print(f"one matrix product           {product_seconds:9.3f} s, {loop_seconds / product_seconds:.0f} times as fast")
    for kind in SIMILARITIES:
        start = time.perf_counter()
        rank_counts(visual, audio, kind)
        print(f"ranks both ways, {kind:14} {time.perf_counter() - start:7.3f} s")


if __name__ == "__main__":
    main()
