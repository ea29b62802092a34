"""Score a file from its first frame to its last: one decision per step and a summary of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from cavsync.deploy.faces.picture import FacePicture
from cavsync.deploy.faces.tracks import Face
from cavsync.deploy.files.face_album import FaceAlbum
from cavsync.deploy.files.face_file import FaceFile, SpeakingFace
from cavsync.deploy.files.summary import FileSummary, path_share, summarise
from cavsync.deploy.files.whole_file import HeatMap, WholeFile
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.onnx import runtime_version
from cavsync.deploy.stream.face_path import FaceRow, OnFaces
from cavsync.deploy.stream.options import DEFAULT_OPTIONS, ScoringKeywords, ScoringOptions
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.records import FACE, UNDETERMINED, SyncScore
from cavsync.deploy.verdict.trend import drift_ms_per_minute, out_of_sync_events, worst_offset_ms
from cavsync.errors import ConfigError, MediaError
from cavsync.media import MediaReader, VideoFrame

Progress = Callable[[float, float | None], None]
REPORTED_PACKAGES = ("cavsync", "numpy", "av")


@dataclass(frozen=True)
class FileScore:
    """The score of a file: the decisions in order, the summary, and the similarity by time and lag.

    The `records` have their curves only where these were asked for; the summary's score has that of the whole file.
    `face` is the face that speaks, over time; None where none was there long enough. `picture` shows it at its best
    moment, where pictures were asked for.
    """

    source: str
    records: list[SyncScore]
    summary: FileSummary
    heat_map: HeatMap
    face: SpeakingFace | None = None
    picture: FacePicture | None = None


@dataclass(frozen=True)
class FileFailure:
    """A file that could not be scored, and the reason in one sentence."""

    source: str
    error: str


Outcome = FileScore | FileFailure


def score_file(
    path: Path | str,
    /,
    bundle: Bundle,
    options: ScoringOptions = DEFAULT_OPTIONS,
    *,
    file: IO[bytes] | None = None,
    audio_shift_ms: float = 0.0,
    on_progress: Progress | None = None,
    on_faces: OnFaces | None = None,
    keep_picture: bool = False,
    keep_curves: bool = False,
    **keywords: Unpack[ScoringKeywords],
) -> FileScore:
    """Score the media file `path` with an opened bundle, in memory that grows by what the result holds.

    Args:
        path: a file, or an address that FFmpeg opens.
        bundle: an opened bundle.
        options: how to score.
        file: an opened, seekable, untrusted file to score instead; `path` then only names it (see `MediaReader`).
        audio_shift_ms: delay the audio by this much before scoring; it lowers every offset by as much.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).
        on_faces: called with frames that show faces (see `SyncScorer`).
        keep_picture: keep a small picture of the speaking face, for reports.
        keep_curves: keep `curve` and `features` of every decision and of its faces, which the summary does not need.
        keywords: fields of `ScoringOptions`, in place of those of `options`.

    Raises:
        MediaError: unreadable, truncated, without video or audio, or shorter than one window.
        ConfigError: an option that cannot be used.
    """
    if not math.isfinite(audio_shift_ms):
        raise ConfigError(f"the audio shift is {audio_shift_ms} ms: give a finite number")
    whole: WholeFile
    faces: FaceFile | None = None

    def add_face(row: FaceRow) -> None:
        assert faces is not None
        faces.add(row)

    album = FaceAlbum() if keep_picture else None

    def see_faces(frame: NDArray[np.uint8], time_seconds: float, found: list[Face]) -> None:
        if album is not None:
            album.push(frame, time_seconds, found)
        if on_faces is not None:
            on_faces(frame, time_seconds, found)

    scorer = SyncScorer(
        bundle,
        replace(options, **keywords),
        on_row=lambda row: whole.add(row),
        on_face_row=add_face,
        on_faces=see_faces,
    )
    step_seconds = bundle.manifest.sync.decision_step_seconds
    whole = WholeFile(scorer.lags_ms, step_seconds)
    if FACE in scorer.paths and bundle.manifest.faces is not None:
        faces = FaceFile(scorer.lags_ms, step_seconds, bundle.manifest.faces.frame_rate_hz)
    with MediaReader(path, file=file) as reader:
        decisions = _push_all(reader, scorer, audio_shift_ms, on_progress)
        records = [record if keep_curves else record.without_curves() for record in decisions]
        media = {**asdict(reader.info), "ignored_frames": scorer.num_ignored_frames}
    start_seconds, end_seconds = scorer.video_span_seconds or (0.0, 0.0)
    duration_seconds = end_seconds - start_seconds
    if not records or records[-1].window_seconds < scorer.window_seconds:
        raise MediaError(
            f"{path} lasts {duration_seconds:.2f} s, shorter than one window of {scorer.window_seconds:.2f} s: "
            "give a longer file or a smaller --window-seconds",
            reason="too_short",
        )
    speaking = None if faces is None else faces.speaking(records, duration_seconds)
    score = summarise(whole, speaking, records, scorer, end_seconds=end_seconds, duration_seconds=duration_seconds)
    early_limit_ms, late_limit_ms = scorer.profile.limits_ms(whole.evidence().frame_period_seconds)
    summary = FileSummary(
        source=str(path),
        score=score,
        early_limit_ms=early_limit_ms,
        late_limit_ms=late_limit_ms,
        duration_seconds=duration_seconds,
        drift_ms_per_minute=drift_ms_per_minute(records),
        worst_offset_ms=worst_offset_ms(records),
        events=out_of_sync_events(records, step_seconds, start_seconds, end_seconds),
        undetermined_share=sum(record.state == UNDETERMINED for record in records) / len(records),
        num_windows=len(records),
        path_share=path_share(records),
        num_faces=max(len(record.faces) for record in records),
        media=media,
        bundle=describe_bundle(bundle),
        versions={**{name: version(name) for name in REPORTED_PACKAGES}, "onnxruntime": runtime_version()},
    )
    picture = None if album is None or speaking is None else album.picture_of(speaking.tracks)
    return FileScore(str(path), records, summary, _heat_map(summary, whole, speaking), speaking, picture)


def _heat_map(summary: FileSummary, whole: WholeFile, face: SpeakingFace | None) -> HeatMap:
    """The similarity that the verdict rests on."""
    return face.heat_map if face is not None and summary.score.path == FACE else whole.heat_map()


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """Identify the model behind a score: its name, precision and the hashes of its encoders."""
    manifest = bundle.manifest
    graphs = {"audio_encoder": manifest.audio_encoder, "visual_encoder": manifest.visual_encoder}
    if manifest.faces is not None:
        graphs |= {name: manifest.faces.graphs[name] for name in ("face_audio_encoder", "face_visual_encoder")}
    hashes = {name: manifest.files[graph.file].sha256[:12] for name, graph in graphs.items()}
    return {"name": manifest.name, "precision": manifest.precision, **hashes}


def _push_all(
    reader: MediaReader, scorer: SyncScorer, audio_shift_ms: float, on_progress: Progress | None
) -> Iterator[SyncScore]:
    """Push the whole file; yield the decisions as they fall due."""
    for item in reader:
        if isinstance(item, VideoFrame):
            yield from scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
        else:
            shifted_seconds = item.pts_seconds + audio_shift_ms / 1000
            yield from scorer.push_audio(item.samples, pts_seconds=shifted_seconds)
        if on_progress is not None:
            on_progress(item.pts_seconds, reader.info.duration_seconds)
    yield from scorer.flush()
