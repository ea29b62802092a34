"""Which audio tracks a repair moves: those that were measured, and those that belong together with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Disposition

from cavsync.deploy.repair.whole_input import open_whole
from cavsync.media import MediaReader
from cavsync.media.tracks import TrackChoice, described

UNCOMPRESSED = "pcm_"


@dataclass(frozen=True)
class MovedTracks:
    """The audio tracks to move: their numbers, from 0 on; the name of those that are measured, as in `2+3`; and
    sentences about which are moved and which are not."""

    numbers: frozenset[int]
    measured: str
    notes: tuple[str, ...]


def moved_tracks(
    source: Path, choice: TrackChoice, *, all_audio: bool, is_measured: bool, leave_out: Collection[int] = ()
) -> MovedTracks:
    """Return the tracks of `source` to move: all, those that `choice` names, or those that a player selects.

    Args:
        source: the file.
        choice: the tracks that the user names.
        all_audio: whether to move all audio tracks.
        is_measured: whether the tracks must be fit for scoring.
        leave_out: indices, among all streams, of those that are not copied.

    Raises:
        MediaError: the file cannot be opened or lacks the tracks.
    """
    numbers = choice.audio
    if is_measured or not (choice.audio or all_audio):
        with MediaReader(source, tracks=choice) as reader:
            numbers = reader.tracks.audio_numbers
    with open_whole(source) as container:
        copied = {n: track for n, track in enumerate(container.streams.audio) if track.index not in leave_out}
        if all_audio:
            notes = ("all audio tracks are moved",) if len(copied) > 1 else ()
            return MovedTracks(frozenset(copied), "+".join(map(str, numbers)), notes)
        return _moved(copied, numbers, is_named=bool(choice.audio))


def tracks_in_copy(
    source: Path, measured: str, video: int | None, leave_out: Collection[int]
) -> tuple[str, int | None]:
    """Return the name, as in `2+3`, that measured audio tracks have in a copy without the streams `leave_out`, and the
    number of a named video track."""
    if not leave_out:
        return measured, video
    with open_whole(source) as container:
        streams = container.streams
        heard = [number for number, track in enumerate(streams.audio) if track.index in leave_out]
        seen = [number for number, track in enumerate(streams.video) if track.index in leave_out]
    numbers = [int(part) for part in measured.split("+") if part]
    name = "+".join(str(number - sum(one < number for one in heard)) for number in numbers)
    return name, None if video is None else video - sum(one < video for one in seen)


def _moved(audio: Mapping[int, av.AudioStream], measured: Sequence[int], *, is_named: bool) -> MovedTracks:
    """Choose from the tracks that are copied, by number.

    Uncompressed tracks of one channel and equal times are the channels of one sound, as cameras and broadcasters store
    them; moving one of them would tear the others away from it. Whoever names a track wants that one.
    """
    name = "+".join(map(str, measured))
    first = audio.get(measured[0])
    together = (n for n, track in audio.items() if first is not None and not is_named and _are_channels(track, first))
    numbers = frozenset((*measured, *together))
    shown = ", ".join(str(number) for number in sorted(numbers))
    rest = [f"{number} ({described(track)})" for number, track in audio.items() if number not in numbers]
    notes = []
    if len(numbers) > len(measured):
        notes.append(f"audio tracks {shown} are moved: of one channel and equal times, they are one sound")
    if rest:
        kind = "track" if len(numbers) == 1 else "tracks"
        notes.append(f"only audio {kind} {shown} moved, not {', '.join(rest)}: --all-audio moves all")
    return MovedTracks(numbers, name, tuple(notes))


def _are_channels(track: av.AudioStream, other: av.AudioStream) -> bool:
    ours, theirs = track.codec_context, other.codec_context
    if ours is None or theirs is None or not ours.name.startswith(UNCOMPRESSED) or ours.channels != 1:
        return False
    if track.disposition & ~Disposition.default != other.disposition & ~Disposition.default:
        return False
    return (ours.name, ours.channels, ours.sample_rate, track.start_time, track.duration) == (
        *(theirs.name, theirs.channels, theirs.sample_rate),
        *(other.start_time, other.duration),
    )
