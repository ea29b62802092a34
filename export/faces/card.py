"""The face path's section of MODEL_CARD.md."""

from __future__ import annotations

from cavsync.export.faces.calibrate import FaceCalibration
from cavsync.export.fit_calibration import CalibrationReport
from cavsync.export.parity import OutputParity
from cavsync.manifest import FaceSpec, Manifest

FACE_TITLE = "## Face path"


def face_section(manifest: Manifest, parity: list[OutputParity], found: FaceCalibration | None) -> str:
    """Return the Markdown of the face path's facts, parity and calibration."""
    faces = manifest.faces
    assert faces is not None
    lines = [
        FACE_TITLE,
        "Where a face is visible, its lips are compared with the audio. MediaPipe's face detectors and face mesh find",
        "it (`FACES_LICENSE`, `FACES_NOTICE`); small encoders compare landmarks and image of the mouth with log-mel.",
        "",
        "| | |",
        "|---|---|",
        *(f"| licence of the {part} | {licence} |" for part, licence in faces.licences.items()),
        f"| source | step {faces.source['step']} of run `{faces.source['run']}`, "
        f"weights sha256 `{str(faces.source['weights_sha256'])[:16]}` |",
        f"| trained on | {faces.source['trained_on']} |",
        f"| mouth | {faces.num_frames} frames at {faces.frame_rate_hz:g} frames per second |",
        f"| audio | log-mel segments of {faces.segment_frames * 10} ms |",
        "",
        *footage_lines(faces),
        "",
        "| artefact | output | largest error | cosine |",
        "|---|---|---|---|",
        *(f"| {row.artefact} | {row.output} | {row.max_abs_error:.2e} | {row.cosine:.7f} |" for row in parity),
        "",
        *_calibration(found),
        "",
    ]
    return "\n".join(lines)


def footage_lines(faces: FaceSpec) -> list[str]:
    """Return Markdown on the offsets of the training footage that were removed."""
    found = faces.source.get("footage_offsets")
    if found is None:
        return ["The training footage was used unchanged, so scores contain the average of its own offsets."]
    rows = ((name.replace("|", "\\|"), group) for name, group in sorted(found["groups"].items()))
    return [
        "Constant offsets of the training footage per group, measured by the model itself and removed after step",
        f"{found['step']} (positive: audio early). Groups of fewer than three clips, or whose clips do not agree, were",
        "left unchanged (0), so scores may contain their offsets:",
        "",
        "| group | clips | offset removed |",
        "|---|---|---|",
        *(f"| {name} | {group['clips']} | {_signed_ms(group['audio_offset_ms'])} |" for name, group in rows),
    ]


def _signed_ms(offset_ms: float) -> str:
    return f"{offset_ms:+.1f} ms" if offset_ms else "0"


def _calibration(found: FaceCalibration | None) -> list[str]:
    if found is None:
        return ["Not calibrated: every decision of the face path is `undetermined`."]
    return [
        f"Calibrated on {found.num_clips} clips ({found.windows.calibration.source}), each with its own audio and with",
        "that of others. In cross-validation over clips:",
        "",
        "| | accepted, of examples with a right answer | accepted, of those without | right among the accepted "
        "| median error |",
        "|---|---|---|---|---|",
        _row("windows", found.windows),
        _row("whole files", found.files),
    ]


def _row(name: str, report: CalibrationReport) -> str:
    found = (report.accepted_share, report.false_accepted_share, report.precision)
    shares = " | ".join(f"{share:.0%}" for share in found)
    return f"| {name} | {shares} | at most {report.calibration.resolution_ms:.0f} ms |"
