"""The watcher of a live source: reader, queue, decoder, scorer, events and sinks in one object."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import av

from cavsync.deploy.live.address import Address, parse_address
from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.decoder import PacketDecoder
from cavsync.deploy.live.packet_queue import NOTICE, End, PacketQueue, QueueItem, Stretch, Waiting
from cavsync.deploy.live.reader import Reader
from cavsync.deploy.live.sinks.protocol import LiveSink
from cavsync.deploy.live.status import CONNECTED, ENDED, RUNNING, WAITING, LiveStatus
from cavsync.deploy.runtime.bundle import Bundle
from cavsync.deploy.stream.face_path import FaceRow, OnFaces
from cavsync.deploy.stream.options import DEFAULT_OPTIONS, OpenKeywords, ScoringOptions, split_keywords
from cavsync.deploy.stream.scorer import SyncScorer
from cavsync.deploy.verdict.events import EventChange, EventTracker
from cavsync.deploy.verdict.records import SyncScore
from cavsync.deploy.verdict.trend import RecentDrift
from cavsync.errors import CavsyncError, ConfigError
from cavsync.media import AudioChunk, VideoFrame

INTERLEAVE_SECONDS = 5.0
MAX_TIMEOUT_SECONDS = 3600.0
POLL_SECONDS = 0.1
STOP_SECONDS = 0.5


class Watcher:
    """Score a live source: iterate over its decisions, or call `run` to pass them to the sinks only.

    Stream time starts at 0 and never goes back. Where the sender's clock breaks or the connection is lost, pending
    decisions are made, the scorer is reset, and the next decision follows one window later. An open event stays open
    until decisions end it.

    Args:
        source: what `parse_address` reads, or an `Address`.
        bundle: an opened bundle or the folder of one; by default the model shipped with the package.
        options: how to score.
        sinks: receive decisions, events and status; closed at the end.
        policy: policy of a full queue, `block` or `drop_oldest`; the default depends on the source.
        queue_seconds: stream time that the queue holds.
        reconnect: reconnect to a live source that breaks or ends.
        max_tries: consecutive failures after which to give up; None for never.
        backoff: waits between tries.
        timeout_seconds: time without data after which a live source counts as lost; the default depends on the
            protocol.
        begin_after: number of decisions that begin an event, see `EventTracker`.
        end_after: number of decisions that end it.
        duration_seconds: stream time after which to stop.
        status_seconds: time between two status reports.
        ffmpeg_options: FFmpeg's options for opening the source.
        on_faces: called in the thread that iterates with frames that show faces (see `SyncScorer`).
        on_face_row: called there with each face's rows.
        keywords: fields of `ScoringOptions`, in place of those of `options`; with the folder of a bundle also those of
            `Bundle.open` (`engine`, `providers`, `threads`, `cores`).

    Raises:
        ConfigError: an invalid address, size or option.
        BundleError: an unusable bundle.
    """

    def __init__(
        self,
        source: str | Address,
        bundle: Bundle | Path | str | None = None,
        options: ScoringOptions = DEFAULT_OPTIONS,
        *,
        sinks: Sequence[LiveSink] = (),
        policy: str | None = None,
        queue_seconds: float = 10.0,
        reconnect: bool = True,
        max_tries: int | None = None,
        backoff: Backoff | None = None,
        timeout_seconds: float | None = None,
        begin_after: int = 2,
        end_after: int = 3,
        duration_seconds: float | None = None,
        status_seconds: float = 5.0,
        ffmpeg_options: Mapping[str, str] | None = None,
        on_faces: OnFaces | None = None,
        on_face_row: Callable[[FaceRow], None] | None = None,
        **keywords: Unpack[OpenKeywords],
    ) -> None:
        engine, scoring = split_keywords(keywords)
        options = replace(options, **scoring)
        address = source if isinstance(source, Address) else parse_address(source, ffmpeg_options)
        if duration_seconds is not None and not duration_seconds > 0:
            raise ConfigError(f"the duration is {duration_seconds} s: give more than 0")
        if timeout_seconds is not None and address.is_live:
            if not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
                raise ConfigError(f"the time-out is {timeout_seconds} s: give more than 0, at most an hour")
            address = replace(address, open_seconds=timeout_seconds, read_seconds=timeout_seconds)
        if max_tries is not None and max_tries < 1:
            raise ConfigError(f"{max_tries} tries were asked for: give 1 or more")
        self.source = address.shown
        self._tracker = EventTracker(begin_after=begin_after, end_after=end_after)
        self._queue = PacketQueue(queue_seconds, policy=policy or address.policy)
        if not isinstance(bundle, Bundle):
            bundle = Bundle.open(bundle, **engine)
        options = options.for_live(bundle.manifest.sync)
        self._scorer = SyncScorer(bundle, options, on_faces=on_faces, on_face_row=on_face_row)
        if len(options.tracks.audio) > 1 or options.all_audio:
            raise ConfigError(
                "a source is watched with one audio track, not with all or a mix of several: give a single number as "
                "--audio-stream (audio_stream); `cavsync score` takes both for a file"
            )
        self._reader = Reader(
            address,
            self._queue,
            reconnect=reconnect,
            max_tries=max_tries,
            backoff=backoff or Backoff(),
            tracks=options.tracks,
        )
        self._sinks = list(sinks)
        self._duration_seconds = math.inf if duration_seconds is None else duration_seconds
        self._status_seconds = status_seconds
        self._tracks_done: set[str] = set()
        self._decoder: PacketDecoder | None = None
        self._damaged_before = 0
        self._reconnects = 0
        self._drift = RecentDrift()
        self._last: SyncScore | None = None
        self._next_status = 0.0
        self._is_stopped = False
        self._is_closed = False

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[SyncScore]:
        """Yield the decisions as they are made. May be called once.

        Raises:
            MediaError: the source cannot be opened or was lost, and is not retried; or it lacks video or audio.
        """
        why = "stopped"
        try:
            self._reader.start()
            while not self._is_stopped:
                piece = self._queue.get(POLL_SECONDS)
                if self._is_stopped:
                    break
                if piece is not None and isinstance(piece.payload, End):
                    yield from self._end_stretch()
                    if piece.payload.error is not None:
                        raise piece.payload.error
                    why = "the source ended"
                    break
                if piece is not None and self._is_beyond_duration(piece):
                    yield from self._end_stretch()
                    why = f"watched for {self._duration_seconds:g} s"
                    break
                if piece is not None and piece.time_seconds < self._duration_seconds:
                    yield from self._process(piece)
                if time.monotonic() >= self._next_status and math.isfinite(self._reader.edge_seconds):
                    self._report(RUNNING, "")
        except CavsyncError as error:
            why = str(error)
            raise
        finally:
            self.close(why)

    def add_sink(self, sink: LiveSink) -> None:
        """Add a sink; it is closed with the others."""
        self._sinks.append(sink)

    def run(self) -> None:
        """Watch until the end, passing everything to the sinks. Raises the errors of iterating."""
        for _ in self:
            pass

    def stop(self) -> None:
        """Stop within a second; may be called from any thread or a signal handler."""
        self._is_stopped = True

    def close(self, why: str = "stopped") -> None:
        """Stop reading, end open events and close the sinks. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = self._is_stopped = True
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)
            closing.callback(self._reader.stop, STOP_SECONDS)
            if self._last is not None:
                self._notify_event(self._tracker.finish(self._last.time_seconds))
            self._report(ENDED, why)

    @property
    def event(self) -> EventChange | None:
        """The open event, if any."""
        return self._tracker.current

    @property
    def lag_seconds(self) -> float | None:
        """Distance of the last decision to the live edge; None before the first decision."""
        return None if self._last is None else max(0.0, self._reader.edge_seconds - self._last.time_seconds)

    def status(self, phase: str = RUNNING, message: str = "") -> LiveStatus:
        """Return the current status."""
        edge_seconds = self._reader.edge_seconds
        is_begun = math.isfinite(edge_seconds)
        decoder_damaged = 0 if self._decoder is None else self._decoder.damaged_packets
        return LiveStatus(
            phase=phase,
            time_seconds=edge_seconds if is_begun else None,
            message=message,
            lag_seconds=self.lag_seconds,
            drift_ms_per_minute=self._drift.ms_per_minute,
            dropped_seconds=self._queue.dropped_seconds,
            dropped_packets=self._queue.dropped_packets,
            damaged_packets=self._reader.damaged_packets + self._damaged_before + decoder_damaged,
            reconnects=self._reconnects,
        )

    def _is_beyond_duration(self, piece: QueueItem) -> bool:
        """Return whether both tracks have reached the duration; one may arrive well before the other."""
        if piece.kind != NOTICE and piece.time_seconds >= self._duration_seconds:
            self._tracks_done.add(piece.kind)
        return len(self._tracks_done) == 2 or piece.time_seconds >= self._duration_seconds + INTERLEAVE_SECONDS

    def _process(self, piece: QueueItem) -> Iterator[SyncScore]:
        if isinstance(piece.payload, Stretch):
            yield from self._end_stretch()
            self._decoder = PacketDecoder(piece.payload.codecs, piece.payload.info)
            self._scorer.reset()
            # Counted when the queue delivers it: the reader may already be further.
            self._reconnects += piece.payload.is_reconnection
            self._drift.clear()
            self._report(CONNECTED, piece.payload.why)
        elif isinstance(piece.payload, Waiting):
            yield from self._end_stretch()
            self._report(WAITING, f"{piece.payload.why}; next try in {piece.payload.seconds:.1f} s")
        elif self._decoder is not None and isinstance(piece.payload, av.Packet):
            yield from self._score(self._decoder.decode(piece.kind, piece.payload))

    def _end_stretch(self) -> Iterator[SyncScore]:
        """Make the remaining decisions; a stretch shorter than one window has none."""
        if self._decoder is None:
            return
        decoder, self._decoder = self._decoder, None
        yield from self._score(decoder.finish())
        self._damaged_before += decoder.damaged_packets
        for score in self._scorer.flush():
            if score.window_seconds >= self._scorer.window_seconds:
                yield self._decided(score)

    def _score(self, items: Iterable[VideoFrame | AudioChunk]) -> Iterator[SyncScore]:
        for item in items:
            if isinstance(item, VideoFrame):
                scores = self._scorer.push_video(item.rgb, pts_seconds=item.pts_seconds)
            else:
                scores = self._scorer.push_audio(item.samples, pts_seconds=item.pts_seconds)
            for score in scores:
                yield self._decided(score)

    def _decided(self, score: SyncScore) -> SyncScore:
        self._last = score
        self._drift.add(score)
        for sink in self._sinks:
            sink.on_decision(self.source, score)
        self._notify_event(self._tracker.update(score))
        return score

    def _notify_event(self, changes: Iterable[EventChange]) -> None:
        for change in changes:
            for sink in self._sinks:
                sink.on_event(self.source, change)

    def _report(self, phase: str, message: str) -> None:
        self._next_status = time.monotonic() + self._status_seconds
        status = self.status(phase, message)
        for sink in self._sinks:
            sink.on_status(self.source, status)
