"""A media file as the ffprobe program sees it, which shares no code with this project: to compare a copy with."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Written by the muxer itself, or about the container rather than what it holds.
OWN_TAGS = frozenset(
    {"duration", "encoder", "vendor_id", "handler_name", "major_brand", "minor_version", "compatible_brands"}
    | {"creation_time", "_statistics_writing_app", "_statistics_tags", "bps", "number_of_frames", "number_of_bytes"}
)
KINDS = ("video", "audio", "subtitle", "data", "attachment")


@dataclass(frozen=True)
class StreamProbe:
    """One stream: what it is, and per packet in file order its time in ms and the hash of its bytes."""

    kind: str
    codec: str
    language: str
    tags: dict[str, str]
    disposition: tuple[str, ...]
    rotation: float
    times_ms: list[float | None]
    payloads: list[str]


@dataclass(frozen=True)
class Probe:
    """A file: its streams by kind, and the properties that a copy must keep.

    `pictures` are hashes of the decoded frames in the order of their presentation.
    """

    streams: list[StreamProbe]
    title: dict[str, str]
    programmes: list[tuple[int, int, tuple[tuple[str, str], ...]]]
    chapters: list[tuple[str, float, float]]
    pictures: list[str]

    def of(self, kind: str) -> list[StreamProbe]:
        return [stream for stream in self.streams if stream.kind == kind]

    def outline(self) -> dict[str, object]:
        """Name -> value of each property that does not depend on times."""
        return {
            "streams": sorted((stream.kind, stream.codec) for stream in self.streams),
            "languages": [(kind, [stream.language for stream in self.of(kind)]) for kind in KINDS],
            "stream tags": [(kind, [stream.tags for stream in self.of(kind)]) for kind in KINDS],
            "dispositions": [(kind, [stream.disposition for stream in self.of(kind)]) for kind in KINDS],
            "rotation": [stream.rotation for stream in self.of("video")],
            "tags": self.title,
            "programmes": self.programmes,
            "chapter titles": [title for title, _, _ in self.chapters],
            "pictures": self.pictures,
        }


def probe(path: Path) -> Probe:
    """Read a file with ffprobe and ffmpeg; skips the test if they are absent."""
    entries = ["-show_streams", "-show_packets", "-show_data_hash", "sha256", "-show_programs", "-show_chapters"]
    # Streams that begin late too.
    whole = ["-probesize", "1G", "-analyzeduration", "1G"]
    found = json.loads(_run("ffprobe", "-v", "error", *whole, *entries, "-show_format", "-of", "json", str(path)))
    chapters = [
        (str(part.get("tags", {}).get("title", "")), 1000 * float(part["start_time"]), 1000 * float(part["end_time"]))
        for part in found["chapters"]
    ]
    streams = [_stream(stream, found["packets"], path) for stream in found["streams"]]
    # ISO files store chapters in a text track, which the muxer writes anew.
    shown = [stream for stream in streams if not (stream.codec in ("bin_data", "text") and chapters)]
    return Probe(
        shown,
        _tags(found["format"]),
        [_programme(programme) for programme in found["programs"]],
        chapters,
        _pictures(path),
    )


def _stream(stream: dict[str, Any], packets: list[dict[str, Any]], path: Path) -> StreamProbe:
    own = [packet for packet in packets if packet["stream_index"] == stream["index"]]
    tags = _tags(stream)
    turns = [side["rotation"] for side in stream.get("side_data_list", []) if "rotation" in side]
    codec = stream.get("codec_name", "unknown")
    return StreamProbe(
        kind=stream["codec_type"],
        codec=stream["codec_tag_string"] if codec == "unknown" else codec,
        # To ISO files a language that is not told is "und".
        language=tags.pop("language", "und"),
        tags=tags,
        disposition=tuple(name for name, value in stream["disposition"].items() if value),
        rotation=float(turns[0]) if turns else 0.0,
        times_ms=[1000 * float(packet["pts_time"]) if "pts_time" in packet else None for packet in own],
        payloads=[packet["data_hash"] for packet in own],
    )


def _tags(part: dict[str, Any]) -> dict[str, str]:
    tags = {name.lower(): str(value) for name, value in part.get("tags", {}).items()}
    return {name: value for name, value in tags.items() if name not in OWN_TAGS}


def _programme(programme: dict[str, Any]) -> tuple[int, int, tuple[tuple[str, str], ...]]:
    tags = tuple(sorted(programme.get("tags", {}).items()))
    return programme["program_id"], len(programme["streams"]), tags


def _pictures(path: Path) -> list[str]:
    """Hashes of the decoded frames of all video streams that are not covers, in the order of presentation."""
    options = ["-map", "0:V", "-fps_mode", "passthrough", "-f", "framemd5", "-"]
    lines = _run("ffmpeg", "-nostdin", "-v", "error", "-noautorotate", "-i", str(path), *options)
    return [line.split(",")[-1].strip() for line in lines.splitlines() if not line.startswith("#")]


def _run(program: str, *arguments: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs the {program} program")
    done = subprocess.run([found, *arguments], check=True, capture_output=True, timeout=120)
    return done.stdout.decode("utf-8", "replace")
