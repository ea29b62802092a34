"""Join a face model to a bundle: its encoders and the face finder's graphs, checked, calibrated and hashed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cavsync.atomic import atomic_folder
from cavsync.data.faces.footage_offsets import FaceOffsets
from cavsync.deploy import Bundle
from cavsync.deploy.faces.graphs import FULL_RANGE_GRAPH, MESH_GRAPH, SHORT_RANGE_GRAPH, default_folder, default_graph
from cavsync.errors import ExportError
from cavsync.export.bundle import CARD_NAME, write_manifest
from cavsync.export.draft import source_of
from cavsync.export.faces.calibrate import FaceCalibration, calibrate_faces
from cavsync.export.faces.card import FACE_TITLE, face_section
from cavsync.export.faces.encoders import write_encoders
from cavsync.export.inputs import held_out_clips, require_bundle_folder
from cavsync.export.parity import OutputParity, complaint
from cavsync.export.storage import Storage, round_weights, store_compactly
from cavsync.manifest import FaceSpec, Manifest
from cavsync.model.checkpoint import load_face
from cavsync.model.face_sync import FRAMES_PER_STEP, NUM_FRAMES, SEGMENT_FRAMES
from cavsync.model.fingerprint import architecture_fingerprint
from cavsync.run import Run

PARITY_NAME = "face_parity.json"
FINDER_LICENCE = "Apache-2.0"
# Names in the bundle of the files that travel with the finder's graphs.
FINDER_PAPERS = {"LICENSE": "FACES_LICENSE", "NOTICE": "FACES_NOTICE"}


def add_face_path(
    run_dir: Path,
    bundle: Path,
    out_dir: Path,
    *,
    step: int | None = None,
    calibration_clips: Sequence[Path] | None = None,
    storage: Storage = "float32",
    weights_licence: str = "not stated",
    overwrite: bool = False,
    on_stage: Callable[[str], None] = lambda _: None,
) -> tuple[Manifest, list[OutputParity]]:
    """Write a bundle with the files of `bundle` unchanged and the face path of a face run beside them.

    Returns the manifest and the parity of the face encoders.

    Args:
        run_dir: RUN that `cavsync train --preset sync-face` wrote.
        bundle: the bundle that scores the whole picture; a face path that it has is replaced.
        out_dir: the new bundle's folder, which may be `bundle` itself with `overwrite`.
        calibration_clips: clips that the model never saw; None takes those that the run held out.

    Raises:
        ExportError: parity failed.
        BundleError: `bundle` is missing or damaged.
        CheckpointError: the run is missing or damaged, or a clip that it held out is missing.
        ConfigError: out_dir holds something else, or a bundle without `overwrite`. No error leaves files behind.
    """
    require_bundle_folder(out_dir, overwrite=overwrite)
    manifest = Bundle.open(bundle).manifest
    run = Run.open(run_dir).at(step)
    model = load_face(run.checkpoint.path)
    clips = held_out_clips(run) if calibration_clips is None else list(calibration_clips)
    round_weights(model, storage)
    with atomic_folder(out_dir) as fresh:
        for name in manifest.files:
            if name not in _face_files(manifest):
                shutil.copy(bundle / name, fresh / name)
        on_stage("exporting the face encoders")
        graphs, parity = write_encoders(model, fresh, {"fingerprint": architecture_fingerprint(model.state_dict())})
        _require(parity)
        if storage != "float32":
            for spec in graphs.values():
                store_compactly(fresh / spec.file)
        for graph in (SHORT_RANGE_GRAPH, FULL_RANGE_GRAPH, MESH_GRAPH):
            shutil.copy(default_graph(graph.file), fresh)
        for name, kept in FINDER_PAPERS.items():
            shutil.copy(default_folder() / name, fresh / kept)
        rows = json.dumps({"outputs": [asdict(result) for result in parity]}, indent=1)
        (fresh / PARITY_NAME).write_text(rows + "\n", encoding="utf-8")
        faces = FaceSpec(
            face_detector_short_range=SHORT_RANGE_GRAPH.spec,
            face_detector_full_range=FULL_RANGE_GRAPH.spec,
            face_mesh=MESH_GRAPH.spec,
            face_frame_encoder=graphs["face_frame_encoder"],
            face_visual_encoder=graphs["face_visual_encoder"],
            face_audio_encoder=graphs["face_audio_encoder"],
            frame_rate_hz=model.config.frame_rate_hz,
            num_frames=NUM_FRAMES,
            segment_frames=SEGMENT_FRAMES,
            step_frames=FRAMES_PER_STEP,
            source=source_of(run, model) | _footage_offsets(run),
            licences={"encoders": weights_licence, "finder": FINDER_LICENCE},
        )
        manifest = replace(manifest, faces=faces)
        found = _calibrate(fresh, manifest, clips, held_out=calibration_clips is None, on_stage=on_stage)
        if found is not None:
            manifest = replace(manifest, faces=replace(faces, calibration=found.windows.calibration,
                                                       file_calibration=found.files.calibration))  # fmt: skip
        card = (fresh / CARD_NAME).read_text(encoding="utf-8").partition(FACE_TITLE)[0].rstrip()
        (fresh / CARD_NAME).write_text(f"{card}\n\n{face_section(manifest, parity, found)}", encoding="utf-8")
        manifest = write_manifest(fresh, manifest)
        Bundle.open(fresh)
    return manifest, parity


def _footage_offsets(run: Run) -> dict[str, Any]:
    """The offsets of the footage that were taken out of the training up to the run's step, as an entry of `source`."""
    offsets = FaceOffsets.read(run.folder.face_offsets_file)
    if offsets is None or offsets.step >= run.step:
        return {}
    return {"footage_offsets": offsets.model_dump(mode="json", exclude={"format"})}


def _face_files(manifest: Manifest) -> set[str]:
    """Files that only a face path has."""
    if manifest.faces is None:
        return set()
    return {spec.file for spec in manifest.faces.graphs.values()} | set(FINDER_PAPERS.values()) | {PARITY_NAME}


def _require(parity: list[OutputParity]) -> None:
    failed = [result for result in parity if not result.passed]
    if failed:
        raise ExportError(complaint(failed, "its layers are plain convolutions"))


def _calibrate(
    folder: Path, manifest: Manifest, clips: list[Path], *, held_out: bool, on_stage: Callable[[str], None]
) -> FaceCalibration | None:
    if not clips:
        on_stage("leaving the face path uncalibrated: its decisions will be undetermined")
        return None
    on_stage(f"calibrating the face path on {len(clips)} clips")
    # The runtime opens complete bundles only, so it needs a preliminary manifest.
    write_manifest(folder, manifest)
    source = "clips that the run held out" if held_out else "clips given at export"
    return calibrate_faces(Bundle.open(folder), clips, source=source)
