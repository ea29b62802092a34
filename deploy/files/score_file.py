"""Score a file from its first frame to its last: one decision per step and a summary of the whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Unpack

from cavsync.deploy.faces.picture import FacePicture
from cavsync.deploy.files.face_album import FaceAlbum
from cavsync.deploy.files.face_file import FaceFile, SpeakingFace
from cavsync.deploy.files.shared_picture import with_shared_picture
from cavsync.deploy.files.summary import FileSummary, path_share, summarise
from cavsync.deploy.files.whole_file import HeatMap, WholeFile
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.runtime.onnx import runtime_version
from cavsync.deploy.stream.face_path import FaceRow
from cavsync.deploy.stream.options import DEFAULT_OPTIONS, ScoringKeywords, ScoringOptions
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.beyond import undecided_if_beyond
from cavsync.deploy.verdict.records import FACE, RECORD_FIELDS, UNDETERMINED, SyncScore
from cavsync.deploy.verdict.trend import drift_ms_per_minute, out_of_sync_events, worst_offset_ms
from cavsync.errors import ConfigError, MediaError
from cavsync.file_names import legible
from cavsync.media import AudioChunk, MediaReader, VideoFrame
from cavsync.media.tracks import described

Progress = Callable[[float, float | None], None]
REPORTED_PACKAGES = ("cavsync", "numpy", "av")
MAX_TRACKS = 32
"""Each audio track costs the memory and the audio embeddings of a whole score."""


@dataclass(frozen=True)
class AudioTrack:
    """The verdict on one audio track of several: its number, a description such as `aac, 2 channels`, its summary.

    `notes` are clauses about the track, such as that it belongs to another programme than the picture.
    """

    number: int
    description: str
    summary: FileSummary
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON object."""
        found = self.summary.to_dict()
        kept = (*RECORD_FIELDS, "drift_ms_per_minute", "worst_offset_ms", "undetermined_share", "num_windows")
        return {
            "kind": "track",
            "source": self.summary.source,
            "audio_stream": str(self.number),
            "description": self.description,
            **{name: found[name] for name in kept},
            "notes": self.notes,
        }


@dataclass(frozen=True)
class FileScore:
    """The score of a file: the decisions in order, the summary, and the similarity by time and lag.

    `source` is the name of the file, with escapes for bytes that are not UTF-8 (see `cavsync.file_names.legible`).
    The `records` have curves only with `keep_curves`; the summary's score has the curve of the whole file. `face` is
    the speaking face over time, None if no face was there long enough; `picture` shows it at its best moment, with
    `keep_picture`. `tracks` are the verdicts on all audio tracks, with `all_audio`; everything else is then about the
    track that a player would play.
    """

    source: str
    records: list[SyncScore]
    summary: FileSummary
    heat_map: HeatMap
    face: SpeakingFace | None = None
    picture: FacePicture | None = None
    tracks: list[AudioTrack] = field(default_factory=list)


@dataclass(frozen=True)
class FileFailure:
    """A file that could not be scored, and the reason in one sentence."""

    source: str
    error: str


Outcome = FileScore | FileFailure
"""Result of one file of a batch."""


def score_file(
    path: Path | str,
    /,
    bundle: Bundle | None = None,
    options: ScoringOptions = DEFAULT_OPTIONS,
    *,
    file: IO[bytes] | None = None,
    audio_shift_ms: float = 0.0,
    on_progress: Progress | None = None,
    keep_picture: bool = False,
    keep_curves: bool = False,
    **keywords: Unpack[ScoringKeywords],
) -> FileScore:
    """Score the media file `path`, in memory that grows by what the result holds.

    Args:
        path: a file, or an address that FFmpeg opens.
        bundle: an opened bundle; None opens the packaged one, which takes a second each time.
        options: how to score.
        file: an opened, seekable, untrusted file to score instead; `path` then only names it (see `MediaReader`).
        audio_shift_ms: delay the audio by this much before scoring; it lowers every offset by as much.
        on_progress: called with the seconds done and the seconds declared (None where nothing is declared).
        keep_picture: keep a small picture of the speaking face, for reports.
        keep_curves: keep `curve` and `features` of every decision and of its faces, which the summary does not need.
        keywords: fields of `ScoringOptions`, in place of those of `options`.

    Raises:
        MediaError: unreadable, truncated, without video or audio, or shorter than one window.
        ConfigError: an option that cannot be used.
    """
    if not math.isfinite(audio_shift_ms):
        raise ConfigError(f"the audio shift is {audio_shift_ms} ms: give a finite number")
    bundle = Bundle.open() if bundle is None else bundle
    options = replace(options, **keywords)
    options.check(bundle.manifest)
    keep = _Keep(picture=keep_picture, curves=keep_curves)
    with MediaReader(path, file=file, tracks=options.tracks, all_audio=options.all_audio) as reader:
        items: Iterable[tuple[int, VideoFrame | AudioChunk]]
        if not options.all_audio:
            played, runs = 0, {0: _TrackRun(bundle, options, keep)}
            items = ((0, item) for item in reader)
        else:
            played, runs = reader.tracks.audio_numbers[0], _runs(reader, bundle, options, keep)
            items = reader.apart()
        for number, item in items:
            if isinstance(item, VideoFrame):
                for run in runs.values():
                    run.push_frame(item)
            else:
                runs[number].push_audio(item, audio_shift_ms / 1000)
            if on_progress is not None:
                on_progress(item.pts_seconds, reader.info.duration_seconds)
        scores = {number: run.finish(path, reader) for number, run in runs.items()}
        if not options.all_audio:
            return scores[played]
        tracks = [
            AudioTrack(
                number,
                described(reader.tracks.all_audio[number]),
                score.summary,
                reader.tracks.audio_notes(number),
            )
            for number, score in scores.items()
        ]
        return replace(scores[played], tracks=tracks)


def _runs(reader: MediaReader, bundle: Bundle, options: ScoringOptions, keep: _Keep) -> dict[int, _TrackRun]:
    """Return a run for each audio track, by number, which compute what needs frames alone only once."""
    numbers, played = list(reader.tracks.decodable), reader.tracks.audio_numbers[0]
    if len(numbers) > MAX_TRACKS:
        raise MediaError(
            f"{reader.source} has {len(numbers)} audio tracks, at most {MAX_TRACKS} are scored at a time: name one "
            "with --audio-stream"
        )
    shared = with_shared_picture(bundle)
    return {
        number: _TrackRun(
            shared,
            options,
            # Only the records and the picture of the played track are returned.
            keep if number == played else _Keep(),
            audio_stream=str(number),
        )
        for number in numbers
    }


@dataclass(frozen=True)
class _Keep:
    """What to keep besides the verdicts; see `score_file`."""

    picture: bool = False
    curves: bool = False


class _TrackRun:
    """The picture of a file, scored against one audio track, or several that are mixed."""

    def __init__(
        self, bundle: Bundle, options: ScoringOptions, keep: _Keep, *, audio_stream: str | None = None
    ) -> None:
        self._audio_stream = audio_stream
        self._keep = keep
        self._album = FaceAlbum() if keep.picture else None
        self._records: list[SyncScore] = []
        self._step_seconds = bundle.manifest.sync.decision_step_seconds
        self._scorer = SyncScorer(
            bundle,
            options,
            on_row=lambda row: self._whole.add(row),
            on_face_row=self._add_face,
            on_faces=None if self._album is None else self._album.push,
            looks_far=True,
        )
        self._whole = WholeFile(self._scorer.lags_ms, self._step_seconds)
        self._faces: FaceFile | None = None
        if FACE in self._scorer.paths and bundle.manifest.faces is not None:
            rate_hz = bundle.manifest.faces.frame_rate_hz
            self._faces = FaceFile(self._scorer.lags_ms, self._step_seconds, rate_hz)

    def push_frame(self, frame: VideoFrame) -> None:
        """Score the next frame."""
        self._add(self._scorer.push_video(frame.rgb, pts_seconds=frame.pts_seconds))

    def push_audio(self, chunk: AudioChunk, delay_seconds: float) -> None:
        """Score the next audio, later by `delay_seconds`."""
        self._add(self._scorer.push_audio(chunk.samples, pts_seconds=chunk.pts_seconds + delay_seconds))

    def finish(self, path: Path | str, reader: MediaReader) -> FileScore:
        """Return the score of the file that `reader` has read. MediaError for a file shorter than a window."""
        scorer, whole, faces = self._scorer, self._whole, self._faces
        self._add(scorer.flush())
        records = self._records
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
        tracks = set(speaking.tracks.tolist()) if score.path == FACE and speaking is not None else {0}
        score = undecided_if_beyond(score, scorer.far_curve(score.path, tracks), scorer.max_offset_ms)
        early_limit_ms, late_limit_ms = scorer.profile.limits_ms(whole.evidence().frame_period_seconds)
        summary = FileSummary(
            source=legible(str(path)),
            score=score,
            early_limit_ms=early_limit_ms,
            late_limit_ms=late_limit_ms,
            duration_seconds=duration_seconds,
            drift_ms_per_minute=drift_ms_per_minute(records),
            worst_offset_ms=worst_offset_ms(records),
            events=out_of_sync_events(records, self._step_seconds, start_seconds, end_seconds),
            undetermined_share=sum(record.state == UNDETERMINED for record in records) / len(records),
            num_windows=len(records),
            path_share=path_share(records),
            num_faces=0 if faces is None else faces.most_at_once,
            audio_stream=self._audio_stream or reader.tracks.audio_name,
            notes=[legible(note) for note in reader.notes],
            media=media,
            bundle=describe_bundle(scorer.bundle),
            versions={**{name: version(name) for name in REPORTED_PACKAGES}, "onnxruntime": runtime_version()},
        )
        picture = None if self._album is None or speaking is None else self._album.picture_of(speaking.tracks)
        return FileScore(summary.source, records, summary, _heat_map(summary, whole, speaking), speaking, picture)

    def _add(self, decisions: list[SyncScore]) -> None:
        self._records += decisions if self._keep.curves else [record.without_curves() for record in decisions]

    def _add_face(self, row: FaceRow) -> None:
        assert self._faces is not None
        self._faces.add(row)


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
