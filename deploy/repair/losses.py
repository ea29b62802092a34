"""What a copy in another container does not keep of its input: tags, languages, flags, side data, shape of pixels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from cavsync.deploy.repair.whole_input import open_whole
from cavsync.errors import MediaError
from cavsync.media.container import is_cover
from cavsync.media.description import STREAM_LINE, description

COMPARED_KINDS = ("video", "audio", "subtitle")
# Written by muxers themselves, or told by other properties.
OWN_TAGS = frozenset(
    {"duration", "encoder", "vendor_id", "handler_name", "major_brand", "minor_version", "compatible_brands"}
    | {"language", "bps", "number_of_frames", "number_of_bytes", "service_name", "service_provider", "timecode"}
    | {"software", "filename", "mimetype", "variant_bitrate", "modification_date", "operational_pattern_ul"}
    | {"uid", "generation_uid", "company_name", "product_name", "product_version_num", "product_version"}
    | {"application_platform", "product_uid", "toolkit_version_num", "material_package_umid", "file_package_umid"}
)
OWN_PREFIX = "_statistics"
# Languages with two codes in ISO 639-2; Matroska writes the first where other containers write the second.
SECOND_CODES = {
    **{"alb": "sqi", "arm": "hye", "baq": "eus", "bur": "mya", "chi": "zho", "cze": "ces", "dut": "nld"},
    **{"fre": "fra", "geo": "kat", "ger": "deu", "gre": "ell", "ice": "isl", "mac": "mkd", "mao": "mri"},
    **{"may": "msa", "per": "fas", "rum": "ron", "slo": "slk", "tib": "bod", "wel": "cym"},
}
SIDE_DATA = re.compile(r"^( *)Side data:\n((?:\1  .*\n?)*)", re.MULTILINE)
# Limits of the encoder's buffer, which muxers compute.
UNCOMPARED_SIDE_DATA = "CPB properties"


def losses(source: Path, written: Path, output: Path, leave_out: Collection[int]) -> list[str]:
    """Return a sentence about what the copy `written`, which becomes `output`, lacks; none where it has all.

    leave_out: indices of the streams that were not copied.

    Raises:
        MediaError: players would play another track of the copy than of the input.
    """
    with (
        open_whole(source) as before,
        av.open(str(written.absolute()), metadata_errors="surrogateescape") as after,
    ):
        items = _lost_tags(before.metadata, after.metadata)
        found = [f"tags of the file ({', '.join(items)})"] if items else []
        data_before, data_after = _side_data(before), _side_data(after)
        for kind in COMPARED_KINDS:
            one, other = _streams(before, kind, leave_out), _streams(after, kind, ())
            if kind != "subtitle":
                _check_default(kind, one, other, output)
            for number, (early, late) in enumerate(zip(one, other, strict=False)):
                side_data, kept = data_before.get(early.index, {}), data_after.get(late.index, {})
                lost = list(_lost(early, late))
                lost += [text for name, text in side_data.items() if name not in kept]
                if lost:
                    found.append(f"{kind} track {number}: {', '.join(lost)}")
    return [f"{output.name} lacks what {output.suffix} has no place for: {'; '.join(found)}"] if found else []


def _streams(container: InputContainer, kind: str, leave_out: Collection[int]) -> list[Stream]:
    return [
        stream
        for stream in container.streams
        if stream.type == kind and not is_cover(stream) and stream.index not in leave_out
    ]


def _check_default(kind: str, before: list[Stream], after: list[Stream], output: Path) -> None:
    """Raise MediaError where the copy has no flag that makes players choose the same track of several."""
    one, other = _played(before), _played(after)
    if one != other:
        raise MediaError(
            f"{output.suffix} has no place for the flag that makes players choose {kind} track {one}, they would "
            f"choose {other}: no file was written, give an OUTPUT that ends in .mkv, or "
            f"--leave-out {before[other].index}"
        )


def _played(streams: list[Stream]) -> int:
    """Return the number of the first stream with the default flag, else of the first."""
    flagged = (number for number, stream in enumerate(streams) if stream.disposition & Disposition.default)
    return next(flagged, 0)


def _lost(early: Stream, late: Stream) -> Iterator[str]:
    """Yield what one stream lacks of another, in words."""
    language = early.metadata.get("language", "und")
    if language not in ("und", "") and _code(language) != _code(late.metadata.get("language", "und")):
        yield f"language {language}"
    yield from _lost_tags(early.metadata, late.metadata)
    flags = early.disposition & ~late.disposition
    if early.type != "subtitle":
        # See `_check_default`.
        flags &= ~Disposition.default
    yield from (str(flag.name) for flag in Disposition if flag & flags)
    if isinstance(early, av.VideoStream) and isinstance(late, av.VideoStream):
        shape = early.sample_aspect_ratio
        if shape and shape != 1 and shape != late.sample_aspect_ratio:
            yield f"pixels of {shape.numerator}:{shape.denominator}"


def _code(language: str) -> str:
    return SECOND_CODES.get(language, language)


def _lost_tags(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the names of tags whose values the copy lacks; containers have names of their own for many."""
    kept = set(after.values())
    return [name for name, value in before.items() if value and value not in kept and not _is_own(name.lower())]


def _is_own(name: str) -> bool:
    # Some muxers of Matroska add the language, as in `bps-eng`.
    return name.partition("-")[0] in OWN_TAGS or name.startswith(OWN_PREFIX)


def _side_data(container: InputContainer) -> dict[int, dict[str, str]]:
    """Return stream index -> name -> text of its side data, such as `Display Matrix: rotation of 90.00 degrees`."""
    parts = STREAM_LINE.split(description(container))[1:]
    found: dict[int, dict[str, str]] = {}
    for index, part in zip(parts[::2], parts[1::2], strict=True):
        block = SIDE_DATA.search(part)
        lines = [] if block is None else [line.strip() for line in block[2].splitlines()]
        names = {re.split("[:,(]", line)[0].strip(): line for line in lines}
        names.pop(UNCOMPARED_SIDE_DATA, None)
        found[int(index)] = names
    return found
