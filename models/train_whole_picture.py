"""Build a bundle for the whole picture from seeds and real clips: generate, train, export, test, write the model card.

    make sync-tiny REAL=DATA
    make sync-research REAL=DATA

DATA is a folder with manifest.csv (columns path, use, split, kind, group, source, licence). `sync-tiny` is trained on
generated clips and on clips of use `train+test` whose split is `train`, `sync-research` on those of use `research` too.
Clips of use `test-only`, and `research` clips whose split is `held`, are only measured. An interrupted run is resumed,
and one that has ended is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from footage import TESTING, TRAINING, UNSEEN, make_clips, manifest
from rounds import Progress
from steps import cavsync, link
from whole_picture_card import footage, goals, made_with, measured
from whole_picture_run import (
    CLIPS,
    SYNC_RESEARCH,
    SYNC_TINY,
    VOICES_NAME,
    Product,
    add_training_options,
    minutes_left,
    train,
)

from cavsync.atomic import atomic_folder
from cavsync.export import amend_card
from cavsync.export.bundle import CARD_NAME, write_manifest
from cavsync.manifest import Manifest, read_manifest
from cavsync.media.files import find_media
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.checkpoint import save_model
from cavsync.train import preset

SHIPPED = Path(__file__).resolve().parent
REAL = "real clips of which no training saw any"
LICENCE_NAME = "LICENSE"
TESTS: dict[str, tuple[str, ...]] = {
    REAL: (*UNSEEN, "--wrong-sound"),
    "generated worlds, unseen": ("--offsets", "0"),
}


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
        config = preset("sync-tiny")[0]
        assert isinstance(config, ModelConfig)
        save_model(CAVMAESync(config), run, 0)
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


def voices(run: Path) -> dict[str, int] | None:
    """Return which voices the clips of a run have, None where that was not noted."""
    path = run / VOICES_NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def with_licence(bundle: Path, licence: Path) -> None:
    """Add the licence of the weights to `bundle`."""
    with atomic_folder(bundle) as fresh:
        shutil.copytree(bundle, fresh, dirs_exist_ok=True)
        shutil.copy(licence, fresh / LICENCE_NAME)
        write_manifest(fresh, read_manifest(bundle))


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
    add_training_options(parser)
    parser.add_argument("--trained", action="store_true", help="take the run in --out as it is, trained elsewhere")
    options = parser.parse_args()
    product = SYNC_RESEARCH if options.research else SYNC_TINY
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    out: Path = options.out.resolve()
    clips, run = out / CLIPS, out / product.run_name
    make_clips(options.real, clips, TRAINING | TESTING)
    if not options.trained:
        train(product, clips, run, options.device, lambda progress: minutes_left(options.minutes, None, 0.0, progress))
    before = out / "shipped-before"
    if not before.exists():
        shutil.copytree(SHIPPED / "sync-tiny", before)
    bundle = export(product, run, out, clips)
    reports = test(options.real, clips, out, [bundle, before, export_random(out)])
    (out / f"{product.name}.json").write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
    uses = {"train+test", "research"} if options.research else {"train+test"}
    trained_on = (row for row in manifest(options.real) if row["split"] == "train" and row["use"] in uses)
    sections = [measured(reports), made_with(product.name, Progress.read(run), voices(run)), footage(trained_on)]
    if options.research:
        sections.insert(1, goals(product.name, reports[REAL]))
    amend_card(bundle, "\n".join(sections))
    if options.research:
        with_licence(bundle, SHIPPED / product.name / LICENCE_NAME)
    if not options.research:
        with_faces(bundle, before)
    with atomic_folder(SHIPPED / product.name) as fresh:
        shutil.copytree(bundle, fresh, dirs_exist_ok=True)
    print(f"wrote {SHIPPED / product.name}")


if __name__ == "__main__":
    main()
