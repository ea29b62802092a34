"""The programme (service) of a transport stream, whose number and names a copy keeps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from av.container import InputContainer

from cavsync.errors import MediaError
from cavsync.media.description import PROGRAM_LINE, description

SERVICE_LINE = re.compile(r"^      (service_name|service_provider) *: (.*)$", re.MULTILINE)

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


def programme_of(container: InputContainer) -> Programme | None:
    """Return the only programme of a container; None where it has none.

    Raises:
        MediaError: there are several, which a copy would merge into one.
    """
    # What follows the last programme, under "No Program", belongs to none.
    parts = PROGRAM_LINE.split(description(container).partition("  No Program")[0])[1:]
    numbers = [int(number) for number in parts[::2]]
    if len(numbers) > 1:
        raise MediaError(
            f"{container.name} holds several programmes ({', '.join(map(str, numbers))}), which a copy would merge: "
            f"no file was written, take out one first, as `ffmpeg -i INPUT -map 0:p:{numbers[0]} -c copy ONE.ts` does"
        )
    if not numbers:
        return None
    names = dict(SERVICE_LINE.findall(parts[1]))
    return Programme(numbers[0], {key: name for key, name in names.items() if (key, name) not in PLACEHOLDERS})
