"""Write a whole bundle or nothing: graphs, engines, parity, calibration, model card, manifest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from cavsync.atomic import atomic_folder
from cavsync.deploy import Bundle
from cavsync.deploy.runtime.classifier import check_classifier
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.export.artefacts import Artefacts
from cavsync.export.calibrate import MAX_CLIPS, WholeCalibration, calibrate
from cavsync.export.classifier import trained_mode
from cavsync.export.draft import draft
from cavsync.export.inputs import Say, open_inputs
from cavsync.export.model_card import model_card
from cavsync.export.parity import OutputParity, Reference, describe
from cavsync.export.samples import noise, sample_sets
from cavsync.export.storage import Storage, round_weights
from cavsync.export.trt.encoders import write_tensorrt
from cavsync.export.trt.options import TensorRTOptions
from cavsync.manifest import MANIFEST_NAME, Manifest, SyncSpec, describe_files, read_manifest
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.model.fingerprint import architecture_fingerprint

PARITY_NAME = "parity.json"
CANDIDATES_NAME = "int8_candidates.json"
CARD_NAME = "MODEL_CARD.md"


def export_bundle(
    run_dir: Path,
    out_dir: Path,
    *,
    precision: str = "fp32",
    tensorrt: TensorRTOptions | None = None,
    step: int | None = None,
    labels: Path | None = None,
    calibration_clips: Sequence[Path] | None = None,
    sync: SyncSpec | None = None,
    weights_licence: str = "not stated",
    name: str | None = None,
    storage: Storage = "float32",
    overwrite: bool = False,
    on_stage: Say = lambda _: None,
) -> tuple[Manifest, list[OutputParity]]:
    """Export the encoders of a run, and its classifier if it has one; returns the manifest and the parity results.

    Args:
        run_dir: RUN that `cavsync train` or `cavsync convert` wrote, or RUN/checkpoints/step-N.
        out_dir: the bundle's folder; absent, empty, or a bundle to replace with `overwrite`.
        precision: of the encoders' matrix products. "int8" tries every method installed on this machine and takes the
            fastest that is accurate enough; "auto" keeps them all. With "bf16", which ONNX Runtime has on GPUs only,
            the bundle also keeps the float32 encoders; with "fp8", which is for engines only, too. A run with a
            classifier allows "fp32" only, and no engines.
        tensorrt: also build engines, in the same precision.
        step: checkpoint to take; the one that run_dir names, or the last one, by default.
        labels: CSV of a classifier's classes, which a converted one needs.
        calibration_clips: clips that the model never saw; None takes those that the run held out, an empty list leaves
            the bundle uncalibrated. Graphs are also compared and quantized on them, without any on generated clips.
        sync: grid and windows; None chooses them by the length of the audio segments (`default_sync`).
        weights_licence: licence of the weights, for the manifest and the model card.
        name: name of the bundle; by default that of the run.
        storage: form of float32 weights on disk; see `cavsync.export.storage`.
        overwrite: replace a bundle in `out_dir`.
        on_stage: called with a description of each stage.

    Raises:
        ExportError: parity failed, an engine cannot be built, or out_dir holds something else.
        CheckpointError, ConfigError: the run or an option cannot be used. No error leaves files behind.
    """
    inputs = open_inputs(
        run_dir,
        out_dir,
        precision=precision,
        storage=storage,
        tensorrt=tensorrt,
        step=step,
        labels=labels,
        calibration_clips=calibration_clips,
        overwrite=overwrite,
        on_stage=on_stage,
    )
    run, model, classifier, clips = inputs.run, inputs.model, inputs.classifier, inputs.clips
    round_weights(model, storage)
    with atomic_folder(out_dir) as fresh:
        artefacts = _begin(fresh, model, classifier, clips, on_stage)
        paths = artefacts.write_encoders(precision, compact=storage != "float32")
        if tensorrt is not None and inputs.library is not None:
            write_tensorrt(artefacts, paths, precision, inputs.library, tensorrt)
        manifest = draft(
            run,
            model,
            artefacts.graphs,
            classifier=classifier,
            sync=sync,
            name=name,
            weights_licence=weights_licence,
            precision=artefacts.precision,
        )
        manifest = replace(manifest, engines=artefacts.engines)
        _write_reports(fresh, artefacts)
        report = _calibrate(fresh, manifest, clips, calibration_clips is None, on_stage)
        if report is not None:
            windows, files = report.windows.calibration, report.files.calibration
            manifest = replace(manifest, calibration=windows, file_calibration=files)
        on_stage("writing the manifest")
        card = model_card(manifest, artefacts.parity, artefacts.not_run, artefacts.candidates, report)
        (fresh / CARD_NAME).write_text(card, encoding="utf-8")
        manifest = write_manifest(fresh, manifest)
        Bundle.open(fresh)
        check_classifier(fresh, manifest)
    return manifest, artefacts.parity


def _begin(
    fresh: Path, model: AudioVisualEncoder, classifier: OpenClassifier | None, clips: Sequence[Path], on_stage: Say
) -> Artefacts:
    """Compute the model's outputs on clips and noise, with which all graphs and engines are compared."""
    on_stage("taking samples to compare on")
    sets = sample_sets(model.config, clips)
    on_stage(f"running the model on {sets.compare.source}")
    mode = trained_mode(classifier) if classifier else None
    reference = Reference.of(model, sets.compare, noise(model.config), mode)
    work = fresh.parent / "work"
    work.mkdir()
    metadata = {"cavsync_version": version("cavsync"), "fingerprint": architecture_fingerprint(model.state_dict())}
    return Artefacts(fresh, work, model, sets, reference, metadata, on_stage, classifier)


def _write_reports(folder: Path, artefacts: Artefacts) -> None:
    parity = describe(artefacts.parity, artefacts.samples.compare, artefacts.not_run)
    (folder / PARITY_NAME).write_text(json.dumps(parity, indent=1) + "\n", encoding="utf-8")
    if artefacts.candidates:
        table = json.dumps(artefacts.candidates, indent=1) + "\n"
        (folder / CANDIDATES_NAME).write_text(table, encoding="utf-8")


def amend_card(bundle: Path, text: str) -> None:
    """Append `text`, such as measurements, to a bundle's model card; its other files stay unchanged.

    Raises:
        BundleError: the bundle is incomplete or damaged.
    """
    Bundle.open(bundle)
    with atomic_folder(bundle) as fresh:
        shutil.copytree(bundle, fresh, dirs_exist_ok=True)
        with (fresh / CARD_NAME).open("a", encoding="utf-8") as card:
            card.write("\n" + text)
        write_manifest(fresh, read_manifest(bundle))


def _calibrate(
    folder: Path, manifest: Manifest, clips: list[Path], held_out: bool, on_stage: Say
) -> WholeCalibration | None:
    if not clips:
        on_stage("leaving the bundle uncalibrated: every decision will be undetermined")
        return None
    on_stage(f"calibrating on {min(len(clips), MAX_CLIPS)} of {len(clips)} clips")
    # The runtime opens complete bundles only, so it needs a preliminary manifest.
    write_manifest(folder, manifest)
    source = "clips that the run held out" if held_out else "clips given at export"
    report = calibrate(Bundle.open(folder), clips, source=source)
    if report is None:
        on_stage("the clips do not suffice for a calibration (-v says why): every decision will be undetermined")
    else:
        for name, found in (("windows", report.windows), ("files", report.files)):
            on_stage(
                f"across clips {found.accepted_share:.0%} of the {name} with an answer are accepted, "
                f"{found.false_accepted_share:.0%} of those without; {found.precision:.0%} of the accepted are right"
            )
    return report


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Hash the files in `folder`, write its manifest and return it."""
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST_NAME)
    manifest = replace(manifest, files=describe_files(folder, names))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest
