"""Retrieval after pretraining in one path and in two (TG-DP), with the same clips, seeds and number of steps.

Small models learn from generated clips of the flat families; unseen clips of the same families are the gallery. All
variants contrast in both directions, with weight 1: at 0.01 so short a run does not leave chance. The step of two paths
costs more; seconds are not compared.

python benchmarks/two_paths.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import measure
import torch

from cavsync.data.synth import FAMILIES, draw_specs, generate
from cavsync.evaluate.inputs.encoders import open_encoder
from cavsync.evaluate.inputs.eval_clips import open_eval_clips
from cavsync.evaluate.retrieval.embeddings import clip_embeddings
from cavsync.evaluate.retrieval.measure import rank_clips
from cavsync.evaluate.retrieval.metrics import retrieval_metrics
from cavsync.train import Trainer, override, preset

RESULTS = measure.RESULTS / "two_paths.jsonl"
SIZES: dict[str, Any] = {
    "audio_length": 208,
    "img_size": 64,
    "embed_dim": 96,
    "num_heads": 3,
    "depth": 4,
    "modality_specific_depth": 3,
    "bidirectional_contrast": True,
    "contrast_loss_weight": 1.0,
}
TEACHER: dict[str, Any] = {"teacher_decay": 0.99, "teacher_decay_end": 1.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "one path": {},
    "two paths, random masks": {"contrast_mask": "random"},
    "two paths, the teacher's masks": {"contrast_mask": "teacher", **TEACHER},
    "TG-DP": {"contrast_mask": "teacher", **TEACHER, "distil_loss_weight": 0.1},
}
METRICS = ("r_at_1", "r_at_5", "r_at_10", "median_rank")


def make_clips(folder: Path, count: int, seed: int) -> Path:
    """Write clips of two and a half seconds, families in turn."""
    specs = draw_specs(count, seed, families=FAMILIES, duration_seconds=2.5, size=(96, 72), speech="synthetic")
    generate(folder, specs, workers=1)
    return folder


def options_of(variant: str, seed: int, steps: int) -> dict[str, Any]:
    """Return the options of one run."""
    rest = {
        "seed": seed,
        "max_steps": steps,
        "batch_clips": 16,
        "learning_rate": 1e-3,
        "warmup_steps": steps // 20,
        "schedule": "cosine",
        "precision": "32-true",
        "accelerator": "cpu",
        "workers": 0,
        "log_every_steps": max(1, steps // 5),
        "checkpoint_every_steps": steps,
        "held_out_share": 0.0,
    }
    return SIZES | rest | VARIANTS[variant]


def retrieval(run_dir: Path, clips: Path, cache: Path) -> dict[str, float]:
    """Return the figures of both directions, by `diagonal-mean` over four frames."""
    encoder = open_encoder(run_dir)
    found = clip_embeddings(encoder, open_eval_clips(clips, segment_frames=encoder.segment_frames, frames=4), cache)
    figures: dict[str, float] = {"clips": float(len(found.names))}
    for (_, direction), counts in rank_clips(found, ["diagonal-mean"]).items():
        metrics = retrieval_metrics(counts)
        figures |= {f"{direction} {name}": round(float(metrics[name].value or 0.0), 4) for name in METRICS}
    return figures


def main() -> None:
    """Train and test all variants; print a line for each and append the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=80, help="clips to train on")
    parser.add_argument("--test-clips", type=int, default=60)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        training = make_clips(folder / "train", options.clips, 1)
        test = make_clips(folder / "test", options.test_clips, 2)
        for variant in options.variants:
            rows = []
            for seed in options.seeds:
                run_dir = folder / f"{variant}-{seed}"
                Trainer(*override(*preset("debug"), options_of(variant, seed, options.steps)), run_dir).run(training)
                rows.append({"variant": variant, "seed": seed, "steps": options.steps, "training_clips": options.clips})
                rows[-1] |= retrieval(run_dir, test, folder / "cache")
                print(json.dumps(rows[-1]), flush=True)
            means = {
                name: round(statistics.mean(float(row[name]) for row in rows), 4) for name in rows[0] if " " in name
            }
            print(f"{variant}: {means}", flush=True)
            with options.results.open("a", encoding="utf-8") as file:
                for row in rows:
                    file.write(json.dumps(row | measure.cpu_provenance()) + "\n")


if __name__ == "__main__":
    main()
