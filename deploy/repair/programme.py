"""The programme (service) of a transport stream, whose number and names a copy keeps."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from av.container import InputContainer

from cavsync.deploy.repair.whole_input import open_whole
from cavsync.errors import MediaError
from cavsync.media.container import is_cover
from cavsync.media.description import PROGRAM_LINE, description, programs
from cavsync.media.tracks import program_members

SERVICE_LINE = re.compile(r"^      (service_name|service_provider) *: (.*)$", re.MULTILINE)

TRANSPORT_STREAM = "mpegts"
# What FFmpeg writes where it is given no names.
PLACEHOLDERS = (("service_name", "Service01"), ("service_provider", "FFmpeg"))


@dataclass(frozen=True)
class Programme:
    """The number of a programme, and its `service_name` and `service_provider` where it has them."""

    number: int
    names: dict[str, str] = field(default_factory=dict)

    @property
    def all_names(self) -> str:
        """All names in one line."""
        return ", ".join(self.names.values())


def programme_of(container: InputContainer, leave_out: Collection[int], program: int | None = None) -> Programme | None:
    """Return the programme of what is copied of a container, all but the streams `leave_out`; None where it has none.

    program: number of the programme that was chosen, which may share streams with others.

    Raises:
        MediaError: there are several, of which none was chosen; a copy would merge them into one.
    """
    members = {number: indices - set(leave_out) for number, indices in programs(container).items()}
    copied = [number for number, indices in members.items() if indices and program in (None, number)]
    if len(copied) > 1:
        pictures = {stream.index for stream in container.streams.video if not is_cover(stream)}
        shown = [number for number in copied if members[number] & pictures]
        remedy = " or ".join(f"--program {number}" for number in shown or copied)
        raise MediaError(
            f"{container.name} holds several programmes ({', '.join(map(str, copied))}), which a copy would merge: "
            f"no file was written, give {remedy} to copy that one"
        )
    # Only the numbers of services are worth keeping; those of HLS variants count from 0.
    if not copied or container.format.name != TRANSPORT_STREAM:
        return None
    # What follows the last programme, under "No Program", belongs to none.
    parts = PROGRAM_LINE.split(description(container).partition("  No Program")[0])[1:]
    text = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))[copied[0]]
    names = dict(SERVICE_LINE.findall(text))
    return Programme(copied[0], {key: name for key, name in names.items() if (key, name) not in PLACEHOLDERS})


def outside(source: Path, program: int | None) -> frozenset[int]:
    """Return the indices of the streams that belong to other programmes than `program` only; none where it is None.

    Raises:
        MediaError: there is no such programme.
    """
    if program is None:
        return frozenset()
    with open_whole(source) as container:
        own = program_members(list(container.streams), program, str(source))
        return frozenset[int]().union(*programs(container).values()) - own
