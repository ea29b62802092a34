"""Outputs written from the entries of a batch, one entry in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from cavsync.atomic import atomic_file
from cavsync.deploy.files.row import FAILED, row_of
from cavsync.deploy.files.score_file import FileScore, Outcome
from cavsync.deploy.sinks.batch_file import BatchEntry, BatchFile
from cavsync.deploy.sinks.html import html_parts, section_html
from cavsync.deploy.sinks.text import CSV_HEADER, csv_row, json_text, objects_of
from cavsync.errors import ConfigError


def entry_of(outcome: Outcome, place: int, *, with_section: bool) -> BatchEntry:
    """Return the entry of the `place`-th file of a batch; the section of the report takes the most space."""
    section = section_html(outcome, place) if with_section and isinstance(outcome, FileScore) else None
    return BatchEntry(row_of(outcome), objects_of(outcome), section)


def json_lines(entry: BatchEntry) -> str:
    """The JSON lines of one file."""
    return "".join(json_text(item) + "\n" for item in entry.objects)


def write_outputs(batch: BatchFile, *, json_out: Path | None, csv_out: Path | None, html_out: Path | None) -> None:
    """Write the outputs that have a path, each whole or not at all.

    Raises:
        ConfigError: one cannot be written.
    """
    if json_out is not None:
        _write(json_out, map(json_lines, batch))
    if csv_out is not None:
        rows = (csv_row(item) for entry in batch for item in entry.objects)
        _write(csv_out, chain([CSV_HEADER], rows))
    if html_out is not None:
        _write(html_out, html_parts(batch.rows, _sections(batch)))


def _sections(batch: BatchFile) -> Iterator[str]:
    return (entry.section or "" for entry in batch if entry.row.state != FAILED)


def _write(path: Path, parts: Iterable[str]) -> None:
    try:
        with atomic_file(path) as stream:
            stream.writelines(part.encode("utf-8") for part in parts)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}): give a file in a folder that exists") from None
