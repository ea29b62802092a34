"""The manifest.json of a pack: how it was made, and, once it is complete, its contents."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Annotated, Literal, Self

import av
import PIL
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cavsync.atomic import atomic_file
from cavsync.data.labels import Label
from cavsync.data.shards.index import MIN_MEMBERS
from cavsync.data.shards.options import PackOptions
from cavsync.errors import DataError
from cavsync.records import problem

MANIFEST_NAME = "manifest.json"
REJECTS_NAME = "rejects.jsonl"
FAMILY = "cavsync-shards"


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{number:06d}.tar"


class ShardEntry(BaseModel):
    """One tar of the pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[^/\\\x00]{1,200}\.tar$")]
    clips: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: str

    @model_validator(mode="after")
    def _holds_its_clips(self) -> Self:
        # A tar has a header of a block for each member.
        if self.clips * MIN_MEMBERS * BLOCKSIZE > self.bytes:
            raise ValueError(f"{self.bytes} bytes do not hold {self.clips} clips")
        return self


def _versions() -> dict[str, str]:
    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return {"libavcodec": codec, "pillow": PIL.__version__}


class ShardManifest(BaseModel):
    """A pack. `source_sha256` is the hash of the list of clips, `items` their number, `labels` the vocabulary, if one
    was given. `clips`, `rejects`, `reasons`, `hours` and `shards` are filled in when the pack is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cavsync-shards-1"] = "cavsync-shards-1"
    complete: bool = False
    options: PackOptions
    labels: list[Label] | None
    source_sha256: str
    items: Annotated[int, Field(ge=0)]
    clips_per_shard: Annotated[int, Field(ge=1)]
    made_with: dict[str, str] = Field(default_factory=_versions)
    clips: int = 0
    rejects: int = 0
    reasons: Counter[str] = Field(default_factory=Counter)
    hours: float = 0.0
    shards: list[ShardEntry] = Field(default_factory=list)

    @property
    def num_shards(self) -> int:
        """Number of parts that the list of clips is divided into; a part without a usable clip leaves no tar."""
        return -(-self.items // self.clips_per_shard)

    def write(self, folder: Path) -> None:
        """Write manifest.json atomically."""
        with atomic_file(folder / MANIFEST_NAME) as stream:
            stream.write(self.model_dump_json(indent=1).encode() + b"\n")


def read_manifest(folder: Path) -> ShardManifest | None:
    """Read the manifest of a pack; None if there is none or it is another tool's. DataError if it is damaged."""
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_bytes())
        if not str(dict(content).get("format")).startswith(FAMILY):
            return None
        return ShardManifest.model_validate(content)
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError, RecursionError) as error:
        reason = problem(error) if isinstance(error, ValidationError) else error
        raise DataError(
            f"{path} is not a manifest of shards ({reason}): restore it or pack into a new folder"
        ) from None
