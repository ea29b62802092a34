"""Choice of a source's video and audio tracks: those that a player selects, or those that are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from cavsync.errors import ConfigError, MediaError
from cavsync.media.container import is_cover
from cavsync.media.description import programs

# Sound that players choose on request only: commentary, audio description, and parts of a programme's sound.
SPECIAL_SOUND = (
    *(Disposition.comment, Disposition.hearing_impaired, Disposition.visual_impaired, Disposition.descriptions),
    *(Disposition.clean_effects, Disposition.karaoke, Disposition.non_diegetic, Disposition.dependent),
)
SPECIAL_PICTURE = (Disposition.timed_thumbnails, Disposition.still_image, Disposition.dependent)

AnyTrack = TypeVar("AnyTrack", av.VideoStream, av.AudioStream)


@dataclass(frozen=True)
class TrackChoice:
    """The tracks that a user names; what is not named is chosen as players do.

    `audio` are numbers among the audio tracks, from 0 on, to be mixed if there are several; `video` is one among the
    video tracks; `program` is the number of a programme (MPEG-TS service, HLS variant).
    """

    audio: tuple[int, ...] = ()
    video: int | None = None
    program: int | None = None

    @classmethod
    def parsed(cls, audio: int | str | None, video: int | None, program: int | None) -> TrackChoice:
        """Make a choice from the numbers of audio tracks as in `1` or `2+3`; ConfigError for anything else."""
        if audio is not None and not re.fullmatch(r"\d{1,4}(\+\d{1,4})*", str(audio), re.ASCII):
            raise ConfigError(
                f"the audio stream is {audio!r:.60}: give a number from 0 on, or several to mix, as in 2+3"
            )
        for name, number in (("video stream", video), ("program", program)):
            if number is not None and number < 0:
                raise ConfigError(f"the {name} is {number}: give 0 or more")
        numbers = () if audio is None else tuple(dict.fromkeys(int(part) for part in str(audio).split("+")))
        return cls(numbers, video, program)

    def __str__(self) -> str:
        """The named tracks, as in `audio 1, program 2`."""
        audio = "+".join(map(str, self.audio)) if self.audio else None
        named = {"audio": audio, "video": self.video, "program": self.program}
        return ", ".join(f"{name} {number}" for name, number in named.items() if number is not None)


PLAYED = TrackChoice()


@dataclass(frozen=True)
class Tracks:
    """The chosen tracks. `audio` are mixed if there are several.

    `spares` may take the place of an `audio` that turns out silent, in order of preference; `unknown` are the numbers
    of audio tracks that cannot be decoded. `members` are the indices of the tracks of the programme that was named;
    None where none was.
    """

    video: av.VideoStream
    audio: tuple[av.AudioStream, ...]
    all_audio: tuple[av.AudioStream, ...]
    spares: tuple[av.AudioStream, ...] = ()
    unknown: tuple[int, ...] = ()
    members: frozenset[int] | None = None

    @property
    def audio_numbers(self) -> tuple[int, ...]:
        """The numbers of the chosen audio tracks, from 0 on."""
        return tuple(number for number, track in enumerate(self.all_audio) if track in self.audio)

    @property
    def audio_name(self) -> str:
        """The chosen audio tracks as in `TrackChoice.parsed`: `1`, or `2+3`."""
        return "+".join(map(str, self.audio_numbers))

    @property
    def decodable(self) -> dict[int, av.AudioStream]:
        """All audio tracks that can be decoded, of the named programme if there is one, by number."""
        found = dict(enumerate(self.all_audio))
        return {number: found[number] for number in found if self._is_eligible(found[number], number)}

    def notes(self, *, all_audio: bool = False) -> list[str]:
        """Return sentences about tracks that are not scored; all_audio: whether all that can be decoded are."""
        chosen = set(self.audio_numbers)
        notes = [
            f"audio track {number} is left out: this FFmpeg has no decoder for its codec"
            for number in self.unknown
            if _in([self.all_audio[number]], self.members)
        ]
        notes += self._video_notes()
        scored = self.decodable if all_audio else chosen
        notes += [f"audio track {number}: {note}" for number in scored for note in self.audio_notes(number)]
        if all_audio:
            return notes
        others = [f"{number} ({described(track)})" for number, track in self.decodable.items() if number not in chosen]
        if others:
            notes.append(
                f"audio track {self.audio_name} of {len(self.all_audio)} is scored, not {', '.join(others)}: "
                "--audio-stream chooses another"
            )
        return notes

    def audio_notes(self, number: int) -> list[str]:
        """Return a clause about an audio track that does not belong to the picture; none where it does."""
        track = self.all_audio[number]
        if track.container is not self.video.container:
            return []
        all_members = programs(cast("InputContainer", track.container))
        own, of_picture = (_programs_with(one, all_members) for one in (track, self.video))
        if not own or not of_picture or set(own) & set(of_picture):
            return []
        return [f"of programme {', '.join(map(str, own))}, the picture is of {', '.join(map(str, of_picture))}"]

    def _is_eligible(self, track: av.AudioStream, number: int) -> bool:
        return number not in self.unknown and (self.members is None or track.index in self.members)

    def _video_notes(self) -> list[str]:
        """Return a sentence about video tracks that are not scored."""
        tracks = list(self.video.container.streams.video)
        others = [
            str(number)
            for number, track in enumerate(tracks)
            if track is not self.video
            and not is_cover(track)
            and not _is_special(track, SPECIAL_PICTURE)
            and _in([track], self.members)
        ]
        if not others:
            return []
        number = tracks.index(self.video)
        return [
            f"video track {number} of {len(tracks)} is scored, not {', '.join(others)}: --video-stream chooses another"
        ]


def pick_tracks(containers: Iterable[InputContainer], source: str, choice: TrackChoice = PLAYED) -> Tracks:
    """Return the tracks of `choice`; where it names none, those that a player selects.

    That is a video track with the default flag, or the first; of its own programme, an audio track with the default
    flag, or the first. Covers, tracks that this FFmpeg cannot decode, and sound that players choose on request only
    (`SPECIAL_SOUND`) come last or not at all.

    Raises:
        MediaError: a kind of track is missing, there is none of that number or programme, or none can be decoded.
    """
    tracks = [track for container in containers for track in container.streams]
    # To FFmpeg a cover image is a video track with a single frame.
    all_video = [track for track in tracks if isinstance(track, av.VideoStream)]
    all_audio = [track for track in tracks if isinstance(track, av.AudioStream)]
    members = None if choice.program is None else program_members(tracks, choice.program, source)
    for kind, of_kind in (("video", [track for track in all_video if not is_cover(track)]), ("audio", all_audio)):
        if not of_kind:
            found = ", ".join(sorted({track.type for track in tracks})) or "nothing"
            raise MediaError(
                f"{source} has no {kind} track (found: {found}): sync needs one video and one audio track",
                reason=f"no_{kind}",
            )
    named = [_numbered(all_audio, number, "audio", source) for number in choice.audio]
    for number, track in zip(choice.audio, named, strict=True):
        _require_member(track, number, choice, members, source)
    if choice.video is not None:
        video = _numbered(all_video, choice.video, "video", source)
        _require_member(video, choice.video, choice, members, source)
    else:
        near = named or [track for track in _in(all_audio, members) if track.codec_context is not None]
        shown = [track for track in _in(all_video, members) if not is_cover(track)]
        ranked = sorted(_decodable(shown, "video", source), key=lambda track: _video_rank(track, near))
        video = ranked[0]
    unknown = tuple(number for number, track in enumerate(all_audio) if track.codec_context is None)
    if named:
        return Tracks(video, tuple(named), tuple(all_audio), unknown=unknown, members=members)
    related = [track for track in _in(all_audio, members) if members is not None or _are_related(video, track)]
    if not related:
        raise MediaError(
            f"{source} has no audio track in the programme of its video: name one with --audio-stream, "
            f"0 to {len(all_audio) - 1}",
            reason="no_audio",
        )
    ranked_audio = sorted(_decodable(related, "audio", source), key=_audio_rank)
    ordinary = [track for track in ranked_audio[1:] if not _is_special(track, SPECIAL_SOUND)]
    return Tracks(video, (ranked_audio[0],), tuple(all_audio), tuple(ordinary), unknown, members)


def described(track: av.AudioStream) -> str:
    """Return an audio track in a few words: `aac, 2 channels, eng, comment`."""
    codec = track.codec_context
    words = [codec.name, f"{codec.channels} channel{'s' * (codec.channels != 1)}"] if codec else []
    words += [language] if (language := track.metadata.get("language", "und")) != "und" else []
    return ", ".join([*words, *(str(flag.name) for flag in SPECIAL_SOUND if track.disposition & flag)])


def _decodable(tracks: Sequence[AnyTrack], kind: str, source: str) -> list[AnyTrack]:
    if not tracks:
        raise MediaError(f"{source} has no {kind} track in that programme: give another one", reason=f"no_{kind}")
    usable = [track for track in tracks if track.codec_context is not None]
    if not usable:
        raise MediaError(
            f"{source} has a {kind} track in a codec that this FFmpeg cannot decode: convert it", reason="unreadable"
        )
    return usable


def _numbered(tracks: Sequence[AnyTrack], number: int, kind: str, source: str) -> AnyTrack:
    if number >= len(tracks):
        there = "0 is the only one" if len(tracks) == 1 else f"give 0 to {len(tracks) - 1}"
        raise MediaError(f"{source} has no {kind} track {number}: {there}", reason=f"no_{kind}")
    if tracks[number].codec_context is None:
        raise MediaError(
            f"{source} has {kind} track {number} in a codec that this FFmpeg cannot decode: convert it",
            reason="unreadable",
        )
    return tracks[number]


def _require_member(
    track: Stream, number: int, choice: TrackChoice, members: frozenset[int] | None, source: str
) -> None:
    """Raise MediaError if a named track is not one of the named programme's."""
    if members is not None and track.index not in members:
        raise MediaError(
            f"{track.type} track {number} of {source} does not belong to programme {choice.program}: name another "
            "track, or leave --program out",
            reason=f"no_{track.type}",
        )


def _programs_with(track: Stream, all_members: Mapping[int, frozenset[int]]) -> list[int]:
    """Return the numbers of the programmes that a track belongs to."""
    return sorted(number for number, members in all_members.items() if track.index in members)


def _in(tracks: Sequence[AnyTrack], members: frozenset[int] | None) -> list[AnyTrack]:
    return [track for track in tracks if members is None or track.index in members]


def _video_rank(track: av.VideoStream, near: Sequence[av.AudioStream]) -> tuple[bool, bool, bool]:
    """Order of preference: smaller comes first; of equals the first in the file is taken."""
    lacks_sound = not any(_are_related(track, other) for other in near)
    return lacks_sound, _is_special(track, SPECIAL_PICTURE), not track.disposition & Disposition.default


def _audio_rank(track: av.AudioStream) -> tuple[bool, bool, bool]:
    # A track of which nothing was found while probing has no channels.
    is_empty = not (track.codec_context.channels and track.codec_context.sample_rate)
    return is_empty, _is_special(track, SPECIAL_SOUND), not track.disposition & Disposition.default


def _is_special(track: Stream, flags: Iterable[Disposition]) -> bool:
    return any(track.disposition & flag for flag in flags)


def _are_related(video: av.VideoStream, audio: av.AudioStream) -> bool:
    """Return whether two tracks are in the same programme, in different containers, or in none that has programmes.

    FFmpeg answers the best audio track of the programme that a given track belongs to.
    """
    if video.container is not audio.container:
        return True
    best = audio.container.streams.best
    return audio == best("audio", video) or best("audio", audio) == best("audio", video)


def program_members(tracks: Sequence[Stream], program: int, source: str) -> frozenset[int]:
    """Return the indices of a programme's tracks; MediaError where there is none of that number."""
    found = programs(cast("InputContainer", tracks[0].container)) if tracks else {}
    if program not in found:
        known = f"its programmes are {', '.join(map(str, sorted(found)))}" if found else "it has no programmes"
        raise MediaError(f"{source} has no programme {program} ({known}): give one of them, or leave --program out")
    return found[program]
