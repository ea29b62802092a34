"""Write a bundle: graphs, parity, calibration, card, manifest; all of it or nothing."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cavsync.data.logmel import AUDIO_MEAN, AUDIO_STD
from cavsync.deploy import Bundle
from cavsync.errors import BundleError, CheckpointError, ConfigError, ExportError
from cavsync.export.calibrate import MAX_CLIPS, calibrate
from cavsync.export.fit_calibration import CalibrationReport
from cavsync.export.graphs import Stage, stages, write_graph
from cavsync.export.model_card import model_card
from cavsync.export.parity import OutputParity, check_parity, describe
from cavsync.export.storage import Storage, round_weights, store_compactly
from cavsync.manifest import (
    MANIFEST_NAME,
    AudioSpec,
    FrontendSpec,
    Manifest,
    SyncSpec,
    VisualSpec,
    describe_files,
    read_manifest,
    sha256_file,
)
from cavsync.model import CAVMAESync
from cavsync.model.checkpoint import WEIGHTS, latest_step, load_model, read_run_config, step_folder
from cavsync.model.config import ModelConfig
from cavsync.model.fingerprint import architecture_fingerprint

PARITY_NAME = "parity.json"
CARD_NAME = "MODEL_CARD.md"
HELD_OUT_NAME = "held_out.json"
PRECISIONS = ("fp32",)
REPORTED_PACKAGES = ("cavsync", "torch", "torchaudio", "onnx", "onnxruntime")
SHORT_SEGMENT_FRAMES = 100

Say = Callable[[str], None]


def export_bundle(
    run_dir: Path,
    out_dir: Path,
    *,
    precision: str = "fp32",
    step: int | None = None,
    calibration_clips: Sequence[Path] | None = None,
    sync: SyncSpec | None = None,
    weights_licence: str = "not stated",
    name: str | None = None,
    storage: Storage = "float32",
    overwrite: bool = False,
    on_stage: Say = lambda _: None,
) -> tuple[Manifest, list[OutputParity]]:
    """Export the encoders of a run; returns the manifest and the parity results.

    Args:
        run_dir: what `cavsync train` or `cavsync convert` wrote.
        out_dir: the bundle's folder; absent, empty, or a bundle to replace with `overwrite`.
        precision: of the graphs' weights and arithmetic.
        step: checkpoint to take; the last one by default.
        calibration_clips: clips that the model never saw; None takes those that the run held out, an empty list leaves
            the bundle uncalibrated.
        storage: how the weights lie on the disk; see `cavsync.export.storage`.
        sync: grid and windows; chosen by the length of the audio segments where None.
        on_stage: called with what is being done.

    Raises:
        ExportError: parity failed, or out_dir holds something else. CheckpointError, ConfigError: the run or an option
        cannot be used. Nothing is left behind in any case.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision} is not known: use {' or '.join(PRECISIONS)}")
    _require_free(out_dir, overwrite)
    on_stage("loading the model")
    model = load_model(run_dir, step)
    round_weights(model, storage)
    clips = held_out_clips(run_dir) if calibration_clips is None else list(calibration_clips)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out_dir.parent, prefix=f".{out_dir.name}-"))
    try:
        fresh = scratch / "bundle"
        fresh.mkdir()
        manifest = _draft(run_dir, step, model, sync or default_sync(model.config), name, weights_licence, precision)
        parity = _write_graphs(fresh, model, manifest, on_stage, compact=storage != "float32")
        report = _calibrate(fresh, manifest, clips, calibration_clips is None, on_stage)
        manifest = replace(manifest, calibration=report.calibration if report else None)
        on_stage("writing the manifest")
        (fresh / CARD_NAME).write_text(model_card(manifest, parity, report), encoding="utf-8")
        manifest = _write_manifest(fresh, manifest)
        Bundle.open(fresh)
        _put_in_place(fresh, out_dir, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest, parity


def amend_card(bundle: Path, text: str) -> None:
    """Append `text` to a bundle's model card, such as what was measured of it; the bundle stays as it was otherwise.

    Raises BundleError where it is no whole bundle.
    """
    Bundle.open(bundle)
    scratch = Path(tempfile.mkdtemp(dir=bundle.resolve().parent, prefix=f".{bundle.name}-"))
    try:
        fresh = scratch / "bundle"
        shutil.copytree(bundle, fresh)
        with (fresh / CARD_NAME).open("a", encoding="utf-8") as card:
            card.write("\n" + text)
        _write_manifest(fresh, read_manifest(bundle))
        _put_in_place(fresh, bundle, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def default_sync(config: ModelConfig) -> SyncSpec:
    """A frame-exact grid for short segments; a coarse and affordable one for the published models' seconds."""
    if config.audio_length <= SHORT_SEGMENT_FRAMES:
        return SyncSpec(
            frame_rate_hz=25.0, hop_ms=40.0, max_offset_ms=1000.0, window_seconds=2.5, decision_step_seconds=0.5
        )
    return SyncSpec(
        frame_rate_hz=1.6, hop_ms=200.0, max_offset_ms=2000.0, window_seconds=10.0, decision_step_seconds=2.0
    )


def held_out_clips(run_dir: Path) -> list[Path]:
    """Clips that the run never trained on; empty where it noted none.

    Raises:
        CheckpointError: the note is damaged, or the clips have gone.
    """
    path = run_dir / HELD_OUT_NAME
    if not path.is_file():
        return []
    try:
        clips = [Path(name) for name in json.loads(path.read_text(encoding="utf-8"))["clips"]]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} is damaged: name calibration clips with --calibration") from None
    missing = [clip for clip in clips if not clip.is_file()]
    if missing:
        raise CheckpointError(
            f"{missing[0]}, which the run held out for calibration, is not there any more: name other clips with "
            "--calibration, or pass --calibration none"
        )
    return clips


def _draft(
    run_dir: Path,
    step: int | None,
    model: CAVMAESync,
    sync: SyncSpec,
    name: str | None,
    weights_licence: str,
    precision: str,
) -> Manifest:
    """The manifest but for the calibration and the files' hashes."""
    config, run = model.config, read_run_config(run_dir)
    number = latest_step(run_dir) if step is None else step
    assert number is not None
    weights_sha256 = sha256_file(step_folder(run_dir, number) / WEIGHTS)
    graphs = {key: stage.spec for key, stage in stages(model).items()}
    return Manifest(
        name=name or run_dir.resolve().name,
        model=config.model_dump(mode="json"),
        precision=precision,
        frontend=FrontendSpec(),
        audio=AudioSpec(segment_frames=config.audio_length, mean=AUDIO_MEAN, std=AUDIO_STD),
        visual=VisualSpec(config.img_size, config.num_frames, config.frame_step_seconds),
        sync=sync,
        audio_frontend=graphs["audio_frontend"],
        audio_encoder=graphs["audio_encoder"],
        visual_encoder=graphs["visual_encoder"],
        weights_licence=weights_licence,
        versions={package: version(package) for package in REPORTED_PACKAGES} | {"python": platform.python_version()},
        source={
            "run": run_dir.resolve().name,
            "step": number,
            "fingerprint": architecture_fingerprint(model.state_dict()),
            "weights_sha256": weights_sha256,
            "trained_on": _trained_on(run),
        },
    )


def _trained_on(run: dict[str, Any]) -> str:
    train, source = run.get("train") or {}, run.get("source") or {}
    if train:
        return f"preset {train.get('preset', 'not stated')}, seed {train.get('seed', 'not stated')}"
    if source:
        return f"converted from {source.get('file', 'another checkpoint')} (sha256 {str(source.get('sha256'))[:16]})"
    return "not stated"


def _write_graphs(
    folder: Path, model: CAVMAESync, manifest: Manifest, on_stage: Say, *, compact: bool
) -> list[OutputParity]:
    written: dict[str, Stage] = stages(model)
    for key, stage in written.items():
        on_stage(f"exporting {stage.spec.file}")
        metadata = {
            "role": key,
            "cavsync_version": manifest.versions["cavsync"],
            "fingerprint": str(manifest.source["fingerprint"]),
        }
        path = write_graph(stage, folder, metadata)
        if compact:
            store_compactly(path)
    on_stage("checking parity")
    parity = check_parity(folder, written, model)
    (folder / PARITY_NAME).write_text(json.dumps(describe(parity), indent=1) + "\n", encoding="utf-8")
    return parity


def _calibrate(
    folder: Path, manifest: Manifest, clips: list[Path], held_out: bool, on_stage: Say
) -> CalibrationReport | None:
    if not clips:
        on_stage("leaving the bundle uncalibrated: every decision will be undetermined")
        return None
    on_stage(f"calibrating on {min(len(clips), MAX_CLIPS)} of {len(clips)} clips")
    # The runtime opens whole bundles only, so there is a manifest before the last one.
    _write_manifest(folder, manifest)
    source = "clips that the run held out" if held_out else "clips given at export"
    report = calibrate(Bundle.open(folder), clips, source=source)
    if report is None:
        on_stage("the clips do not suffice for a calibration (-v says why): every decision will be undetermined")
    else:
        on_stage(
            f"across clips {report.accepted_share:.0%} of the windows with an answer are accepted, "
            f"{report.false_accepted_share:.0%} of those without, and {report.precision:.0%} of the accepted are right"
        )
    return report


def _write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST_NAME)
    manifest = replace(manifest, files=describe_files(folder, names))
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def _require_free(out_dir: Path, overwrite: bool) -> None:
    if not out_dir.exists() or (out_dir.is_dir() and not any(out_dir.iterdir())):
        return
    try:
        read_manifest(out_dir)
    except BundleError:
        # Other programs have a manifest.json too, and what lies in their folders is not ours to delete.
        raise ExportError(f"{out_dir} exists and is no bundle: choose another --out, or remove it yourself") from None
    if not overwrite:
        raise ExportError(f"{out_dir} holds a bundle already: pass --overwrite to replace it, or choose another --out")


def _put_in_place(fresh: Path, out_dir: Path, scratch: Path) -> None:
    """Swap by renaming: whatever happens, out_dir is the old bundle or the new one."""
    old = scratch / "old"
    try:
        if out_dir.exists():
            out_dir.rename(old)
        fresh.rename(out_dir)
    finally:
        if old.exists() and not out_dir.exists():
            old.rename(out_dir)
