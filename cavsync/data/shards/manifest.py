"""manifest.json of a pack: what it was made with, and what it holds once it is complete."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Literal

import av
import PIL
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cavsync.data.labels.vocabulary import Label
from cavsync.data.shards.options import PackOptions
from cavsync.data.shards.storage import whole_file
from cavsync.errors import DataError
from cavsync.records import problem

MANIFEST_NAME = "manifest.json"
REJECTS_NAME = "rejects.jsonl"
FAMILY = "cavsync-shards"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:06d}.tar"


class ShardEntry(BaseModel):
    """One tar of the pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    clips: int
    bytes: int
    sha256: str


def _versions() -> dict[str, str]:
    codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
    return {"libavcodec": codec, "pillow": PIL.__version__}


class ShardManifest(BaseModel):
    """A pack. `source_sha256` is of the list of clips, `items` their number; `labels` the vocabulary, if one was given.
    The counts, and the shards, are those of a complete pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cavsync-shards-1"] = "cavsync-shards-1"
    complete: bool = False
    options: PackOptions
    labels: list[Label] | None
    source_sha256: str
    items: int
    clips_per_shard: int
    made_with: dict[str, str] = Field(default_factory=_versions)
    clips: int = 0
    rejects: int = 0
    reasons: Counter[str] = Field(default_factory=Counter)
    hours: float = 0.0
    shards: list[ShardEntry] = Field(default_factory=list)

    @property
    def num_shards(self) -> int:
        """How many parts the list of clips is cut into; a part without a usable clip leaves no tar."""
        return -(-self.items // self.clips_per_shard)

    def write(self, folder: Path) -> None:
        """Put it in its place, whole."""
        with whole_file(folder / MANIFEST_NAME) as stream:
            stream.write(self.model_dump_json(indent=1).encode() + b"\n")


def read_manifest(folder: Path) -> ShardManifest | None:
    """The manifest of a pack; None where there is none, or another tool's. Raises DataError for a damaged one."""
    path = folder / MANIFEST_NAME
    try:
        content = json.loads(path.read_bytes())
        if not str(dict(content).get("format")).startswith(FAMILY):
            return None
        return ShardManifest.model_validate(content)
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError) as error:
        reason = problem(error) if isinstance(error, ValidationError) else error
        raise DataError(f"{path} is no manifest of shards ({reason}): restore it or pack into a new folder") from None
