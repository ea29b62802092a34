"""Build a bundle for the whole picture from seeds and real clips: generate, train, export, test, write the model card.

    make sync-tiny REAL=DATA
    make sync-research REAL=DATA

DATA is a folder with manifest.csv (columns path, use, split, kind, group). `sync-tiny` is trained on generated clips
and on clips of use `train+test` whose split is `train`, `sync-research` on those of use `research` too. Clips of use
`test-only`, and `research` clips whose split is `held`, are only measured. An interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from footage import make_clips
from steps import cavsync, link
from whole_picture_card import measured

from cavsync.atomic import atomic_folder
from cavsync.export import amend_card
from cavsync.export.bundle import CARD_NAME, write_manifest
from cavsync.manifest import Manifest, read_manifest
from cavsync.media.files import find_media
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import save_model
from cavsync.train import preset

SHIPPED = Path(__file__).resolve().parent
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
TESTS: dict[str, tuple[str, ...]] = {
    "real clips of which no training saw any": (
        *("--only", "use=research", "--only", "use=test-only", "--only", "split=held", "--only", "split="),
        *("--min-seconds", "2.5", "--wrong-sound"),
    ),
    "generated worlds, unseen": ("--offsets", "0"),
}


def train(product: Product, clips: Path, run: Path, minutes: float) -> None:
    """Train the run, or go on with it."""
    data = [word for name in product.trained_on for word in ("--data", clips / name)]
    held_out = [word for name in product.calibrated_on for word in ("--held-out", clips / name)]
    repeats = f"repeats={json.dumps([*product.trained_on.values()])}"
    limits = ("--set", repeats, "--max-minutes", minutes, "--resume")
    cavsync("train", "--preset", "sync-tiny", *data, *held_out, "--out", run, *limits)


def export(product: Product, run: Path, out: Path, clips: Path) -> Path:
    """Export the bundle, with the face path of the shipped one."""
    calibration = out / "calibration"
    shutil.rmtree(calibration, ignore_errors=True)
    for name, count in product.calibrated_on.items():
        folder = calibration / name
        for path in find_media(clips / name)[:count]:
            link(path.resolve(), folder)
    bundle = out / product.name
    named = ("--name", product.name, "--weights-licence", product.licence, "--calibration", calibration)
    cavsync("export", run, "--out", bundle, *named, "--storage", "int8", "--overwrite")
    return bundle


def export_random(out: Path) -> Path:
    """Export the same model untrained."""
    run, bundle = out / "random-run", out / "random-weights"
    if not run.exists():
        torch.manual_seed(0)
        save_model(CAVMAESync(preset("sync-tiny")[0]), run, 0)
    cavsync("export", run, "--out", bundle, "--calibration", "none", "--storage", "int8", "--overwrite")
    return bundle


def test(real: Path, clips: Path, out: Path, bundles: list[Path]) -> dict[str, dict[str, Any]]:
    """Run all tests of the whole picture's path and return a report for each."""
    chosen = [word for bundle in bundles for word in ("--bundle", bundle)]
    reports = {}
    for number, (name, options) in enumerate(TESTS.items()):
        data, path = (clips / "test-worlds" if "worlds" in name else real), out / f"test-{number}.json"
        cavsync("eval", "sync", data, *options, *chosen, "--path", "whole", "--json", path)
        reports[name] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return reports


def with_faces(bundle: Path, source: Path) -> None:
    """Add the face path of the bundle `source` to `bundle`: its graphs, their licences, its part of the card."""
    manifest, faces = read_manifest(bundle), read_manifest(source).faces
    assert faces is not None
    kept = [spec.file for spec in faces.graphs.values()]
    kept += [path.name for path in source.iterdir() if path.name.upper().startswith("FACES_")]
    kept.append("face_parity.json")
    with atomic_folder(bundle) as fresh:
        shutil.copytree(bundle, fresh, dirs_exist_ok=True)
        for name in kept:
            shutil.copy(source / name, fresh)
        card = (source / CARD_NAME).read_text(encoding="utf-8")
        with (fresh / CARD_NAME).open("a", encoding="utf-8") as text:
            text.write("\n" + card[card.index("## Face path") :])
        changed: Manifest = replace(manifest, faces=faces)
        write_manifest(fresh, changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True, help="folder with manifest.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, run, bundles and reports")
    parser.add_argument("--research", action="store_true", help="build sync-research")
    parser.add_argument("--minutes", type=float, default=120.0, help="time to train")
    options = parser.parse_args()
    product = SYNC_RESEARCH if options.research else SYNC_TINY
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    clips, run = out / "clips", out / f"{product.name}-run"
    make_clips(options.real, clips)
    train(product, clips, run, options.minutes)
    before = out / "shipped-before"
    if not before.exists():
        shutil.copytree(SHIPPED / "sync-tiny", before)
    bundle = export(product, run, out, clips)
    reports = test(options.real, clips, out, [bundle, before, export_random(out)])
    (out / f"{product.name}.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    amend_card(bundle, measured(product.name, reports))
    if not options.research:
        with_faces(bundle, before)
    with atomic_folder(SHIPPED / product.name) as fresh:
        shutil.copytree(bundle, fresh, dirs_exist_ok=True)
    print(f"wrote {SHIPPED / product.name}")


if __name__ == "__main__":
    main()
