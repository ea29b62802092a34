"""face_offsets.json of a run: the constant offset of each group of its training footage, which was taken out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from cavsync.atomic import write_text_atomically
from cavsync.errors import CheckpointError


class GroupOffset(BaseModel):
    """The offset of one group of footage, positive where the audio is early, and the clips that it was measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audio_offset_ms: FiniteFloat
    clips: Annotated[int, Field(ge=0)]


class FaceOffsets(BaseModel):
    """Content of face_offsets.json: the offsets by group, and the step at which they were measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    step: Annotated[int, Field(ge=0)]
    groups: dict[str, GroupOffset]

    @classmethod
    def read(cls, path: Path) -> FaceOffsets | None:
        """Read the file; None where there is none. CheckpointError where it is damaged."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            raise CheckpointError(f"'{path}' is damaged: delete it to measure the offsets again.") from None

    def write(self, path: Path) -> None:
        """Write the file atomically."""
        write_text_atomically(path, self.model_dump_json(indent=1) + "\n")

    def delays_seconds(self, group_of: Sequence[str]) -> dict[int, float]:
        """Return by index how much later the audio of each clip of a known group is to be played."""
        offsets = {index: self.groups.get(group) for index, group in enumerate(group_of)}
        return {index: found.audio_offset_ms / 1000 for index, found in offsets.items() if found is not None}
