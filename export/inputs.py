"""The inputs of an export, checked before anything is computed or written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cavsync.errors import CheckpointError, ConfigError
from cavsync.evaluate.classify.classifier import OpenClassifier
from cavsync.export.classifier import check_run, load_run
from cavsync.export.output_folder import require_free
from cavsync.export.trt.encoders import check_options as check_engine_options
from cavsync.export.trt.library import Library, find_library
from cavsync.export.trt.options import TensorRTOptions
from cavsync.manifest import GRAPHS, MANIFEST_NAME
from cavsync.model.encoder import AudioVisualEncoder
from cavsync.run import Run

PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8", "auto")
"""The precisions of `export_bundle`."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportInputs:
    """A run, its model, its classifier if it is one, clips to calibrate on, and the library for engines if any."""

    run: Run
    model: AudioVisualEncoder
    classifier: OpenClassifier | None
    clips: list[Path]
    library: Library | None
    finding: str
    """Which library was found and why it was taken, for the user; empty without one."""


def open_inputs(
    run_dir: Path,
    out_dir: Path,
    *,
    precision: str,
    storage: str,
    tensorrt: TensorRTOptions | None,
    step: int | None,
    labels: Path | None,
    calibration_clips: Sequence[Path] | None,
    overwrite: bool,
    on_stage: Say = lambda _: None,
) -> ExportInputs:
    """Check the options of an export and load the run; arguments and errors as for `export_bundle`."""
    _check_options(precision, storage, has_engines=tensorrt is not None)
    require_bundle_folder(out_dir, overwrite=overwrite)
    run = Run.open(run_dir).at(step)
    check_run(run, precision, labels, has_engines=tensorrt is not None)
    library, finding = None, ""
    if tensorrt is not None:
        library, finding = find_library(tensorrt.library)
        on_stage(finding)
        check_engine_options(precision, library, tensorrt)
    on_stage("loading the model")
    model, classifier = load_run(run, labels)
    clips = held_out_clips(run) if calibration_clips is None else list(calibration_clips)
    return ExportInputs(run, model, classifier, clips, library, finding)


def require_bundle_folder(out_dir: Path, *, overwrite: bool) -> None:
    """Raise ConfigError if `out_dir` holds something that may not be replaced."""
    require_free(out_dir, overwrite=overwrite, kind="bundle", is_ours=_is_bundle)


def _check_options(precision: str, storage: str, *, has_engines: bool) -> None:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision} is not known: use {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}")
    if storage != "float32" and precision != "fp32":
        raise ConfigError(f"storage {storage} is for float32 graphs, precision is {precision}: leave one of them out")
    if precision == "fp8" and not has_engines:
        raise ConfigError("fp8 is for TensorRT engines on GPUs of compute capability 89 and later: add --trt")


def held_out_clips(run: Run) -> list[Path]:
    """Clips that the run never trained on; empty if it recorded none.

    Raises:
        CheckpointError: the record is damaged, or a clip is missing.
    """
    clips = run.held_out_clips()
    missing = [clip for clip in clips if not clip.is_file()]
    if missing:
        raise CheckpointError(
            f"{missing[0]}, which the run held out for calibration, is not there any more: name other clips with "
            "--calibration, or pass --calibration none"
        )
    return clips


def _is_bundle(folder: Path) -> bool:
    """Whether a folder is a bundle, perhaps damaged or of another version, and holds nothing else.

    Other programs write a manifest.json too, and their folders must not be deleted.
    """
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        named = {*content["files"], MANIFEST_NAME}
        return {"format_version", "digest", *GRAPHS} <= content.keys() and {p.name for p in folder.iterdir()} <= named
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False
