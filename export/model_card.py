"""Write MODEL_CARD.md: purpose, source, parity, calibration and limits of a bundle."""

from __future__ import annotations

from typing import Any

from cavsync.export.calibrate import WholeCalibration
from cavsync.export.fit_calibration import CalibrationReport
from cavsync.export.parity import OutputParity
from cavsync.manifest import ClassifierSpec, Manifest

PROBABILITIES = {
    "single-label": "Their softmax is the probabilities.",
    "multi-label": "Their sigmoids are the probabilities.",
    None: "The run does not state whether their softmax or their sigmoids are the probabilities.",
}


def model_card(
    manifest: Manifest,
    parity: list[OutputParity],
    not_run: list[str],
    candidates: dict[str, list[dict[str, Any]]],
    report: WholeCalibration | None,
) -> str:
    """Return the Markdown of the manifest's facts, the parity results, the int8 candidates and the calibration."""
    sync, visual, audio = manifest.sync, manifest.visual, manifest.audio
    lines = [
        f"# {manifest.name}",
        "",
        "Audio and visual encoders that measure how far the audio of a video is early or late. A positive",
        "`audio_offset_ms` means that the audio is early (ITU-R BT.1359).",
        "",
        "| | |",
        "|---|---|",
        f"| licence of the weights | {manifest.weights_licence} |",
        f"| source | step {manifest.source['step']} of run `{manifest.source['run']}`, "
        f"weights sha256 `{str(manifest.source['weights_sha256'])[:16]}` |",
        f"| architecture | `{manifest.source['fingerprint']}` |",
        f"| trained on | {manifest.source['trained_on']} |",
        f"| precision | {manifest.precision} |",
        f"| frame | {visual.num_frames} frames of {visual.img_size} x {visual.img_size}, "
        f"{visual.frame_step_seconds * 1000:.0f} ms apart |",
        f"| audio | log-mel segments of {audio.segment_frames * 10} ms |",
        f"| search | ±{sync.max_offset_ms:.0f} ms in steps of {sync.hop_ms:.0f} ms, in {sync.window_seconds} s |",
        "",
        *_classifier(manifest.classifier),
        "## Parity with the PyTorch model",
        "Errors and cosines are against the float32 model; `centred` is the cosine over all samples after subtracting",
        "their mean (of log-mel, the lowest plain cosine).",
        "",
        "| artefact | output | largest error | relative | cosine | centred |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row.artefact} | {row.output} | {row.max_abs_error:.2e} | {row.relative_error:.2e} "
            f"| {row.cosine:.7f} | {row.centred_cosine:.5f} |"
            for row in parity
        ),
        "",
        *([f"Built but not run, for lack of such a GPU: {', '.join(not_run)}.", ""] if not_run else []),
        *_candidates(candidates),
        "## Calibration",
        *_calibration(report),
        "",
        "## Limits",
        "The confidence was fitted on the clips named above and holds for clips like them. On other material it can be",
        "too high or too low: measure it there before relying on it.",
        "",
    ]
    return "\n".join(lines)


def _classifier(found: ClassifierSpec | None) -> list[str]:
    if found is None:
        return []
    inputs = " and ".join(tensor.name for tensor in found.graph.inputs)
    return [
        "## Classifier",
        f"`{found.graph.file}` computes the logits of {len(found.classes)} classes from {inputs}, in float32, in the",
        "order of `classes` in the manifest.",
        PROBABILITIES.get(found.target, PROBABILITIES[None]),
        "The logits of a clip are the mean over several of its moments.",
        "",
    ]


def _candidates(candidates: dict[str, list[dict[str, Any]]]) -> list[str]:
    if not candidates:
        return []
    rows = [(graph, row) for graph, found in candidates.items() for row in found]
    return [
        "## int8 methods",
        "Times of single inputs on the exporting machine, measured in turns; centred cosine with the float32 output.",
        "",
        "| encoder | method | ms | MB | centred cosine | layers left in float32 | |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {graph} | {row['name']} | {row['milliseconds']:.1f} | {row['size_bytes'] / 1e6:.1f} | "
            f"{row['centred_cosine']:.4f} | {len(row['float32_layers'])} | {'fastest' if row['chosen'] else ''} |"
            for graph, row in rows
        ),
        "",
    ]


def _calibration(report: WholeCalibration | None) -> list[str]:
    if report is None:
        return ["None: every decision of this bundle is `undetermined`. Export again with calibration clips."]
    calibration = report.windows.calibration
    return [
        f"Fitted on {calibration.num_clips} clips ({calibration.source}): for windows on",
        f"{calibration.num_windows} windows, for whole files on {report.files.calibration.num_windows} clips and parts",
        f"of clips. An offset counts as right within ±{calibration.tolerance_ms:.0f} ms. Decisions with a probability",
        "below the threshold are `undetermined`. In cross-validation over clips:",
        "",
        "| | threshold | accepted, of offsets in the search range | accepted (wrongly), of offsets beyond it "
        "| right among the accepted | median error |",
        "|---|---|---|---|---|---|",
        _calibration_row("windows", report.windows),
        _calibration_row("whole files", report.files),
    ]


def _calibration_row(name: str, report: CalibrationReport) -> str:
    shares = (report.accepted_share, report.false_accepted_share, report.precision)
    columns = [name, f"{report.calibration.threshold:.2f}", *(f"{share:.0%}" for share in shares)]
    return f"| {' | '.join(columns)} | at most {report.calibration.resolution_ms:.0f} ms |"
