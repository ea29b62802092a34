"""One HTML page for any number of clips: no script, no external file, light and dark, readable on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from cavsync.deploy.files.row import FAILED, FileRow, row_of
from cavsync.deploy.files.score_file import AudioTrack, FileScore, Outcome
from cavsync.deploy.files.summary import FileSummary
from cavsync.deploy.files.totals import totals
from cavsync.deploy.sinks.axes import FRAME, Scale, clock, time_chart, time_scale
from cavsync.deploy.sinks.charts import MAX_POINTS, field_path, offset_chart
from cavsync.deploy.sinks.face_section import PATH_WORDS, face_section
from cavsync.deploy.sinks.heat_map import heat_map_data_uri
from cavsync.deploy.verdict.events import DECISIONS, STREAM_ENDED
from cavsync.deploy.verdict.records import FACE, STATES, UNDETERMINED, WHOLE, rounded
from cavsync.deploy.verdict.words import STATE_WORDS, explanation, headline, is_trusted
from cavsync.file_names import printable

MAX_EVENTS = 200
EVENT_ENDS = {DECISIONS: "", UNDETERMINED: ", then undetermined", STREAM_ENDED: ", the end"}


def page_environment(*folders: Path) -> Environment:
    """Jinja environment for templates in `folders` and those of the report, whose style result pages share."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["frame"] = FRAME
    return environment


def html_text(outcomes: Sequence[Outcome]) -> str:
    """The report page; everything from files is escaped."""
    rows = {place: row_of(outcome) for place, outcome in enumerate(outcomes, start=1)}
    scores = ((place, outcome) for place, outcome in enumerate(outcomes, start=1) if isinstance(outcome, FileScore))
    return "".join(html_parts(rows, (section_html(score, place) for place, score in scores)))


def html_parts(rows: dict[int, FileRow], sections: Iterable[str]) -> Iterator[str]:
    """Yield the report page in parts: an overview of the rows, by the number of the file, and a section per score."""
    scored = {place: row for place, row in rows.items() if row.state != FAILED}
    yield from _template("report.html.j2").generate(
        scored={place: (row, _name(row.source)) for place, row in scored.items()},
        sections=sections,
        has_faces=any(row.has_face for row in scored.values()),
        path_words=PATH_WORDS,
        failures=[(printable(row.source), row.error) for row in rows.values() if row.state == FAILED],
        totals=[(name, STATE_WORDS.get(name, name), count) for name, count in totals(rows.values()).items()],
    )


def section_html(score: FileScore, place: int) -> str:
    """The section of one file, the `place`-th of the report."""
    return _template("report_section.html.j2").render(section=_section(score, place), state_words=STATE_WORDS)


@cache
def _template(name: str) -> Template:
    environment = page_environment()
    environment.filters["signed"] = _signed
    return environment.get_template(name)


def _name(source: str) -> str:
    return printable(Path(source).name or source)


def _section(score: FileScore, index: int) -> dict[str, Any]:
    """Return the values that the template shows in the section of one clip."""
    summary, records = score.summary, score.records
    end_seconds = summary.score.time_seconds
    x = time_scale(end_seconds - summary.duration_seconds, end_seconds)
    offset, markers, band = offset_chart(records, summary.early_limit_ms, summary.late_limit_ms, x)
    # Confidence and similarity; negative cosines are drawn at 0.
    lines = time_chart(x, Scale.vertical(0.0, 1.0), 4)
    reach_ms = float(score.heat_map.lags_ms[-1] - score.heat_map.lags_ms[0]) / 2
    events = [_event(event.to_dict(), summary.duration_seconds) for event in summary.events]
    states = [record.state for record in records]
    offset_text = _signed(summary.score.audio_offset_ms)
    return {
        "anchor": f"clip-{index}",
        "name": _name(score.source),
        "source": printable(score.source),
        "state": summary.score.state,
        "headline": headline(summary.score),
        "explanation": explanation(summary.score),
        "is_trusted": is_trusted(summary.score),
        # In brackets, as on the terminal: the best match only.
        "offset_text": offset_text if is_trusted(summary.score) else f"({offset_text})",
        "summary": summary.to_dict(),
        "states": [(state, STATE_WORDS[state], states.count(state)) for state in STATES if state in states],
        "offset": offset,
        "markers": markers,
        "band": band,
        "points_pooled": -(-len(records) // MAX_POINTS),
        "lines": lines,
        "confidence_path": field_path(records, "confidence", lines),
        "similarity_path": field_path(records, "similarity", lines),
        "heat": time_chart(x, Scale.vertical(-reach_ms, reach_ms)),
        "heat_uri": heat_map_data_uri(score.heat_map),
        "events": events[:MAX_EVENTS],
        "events_left_out": max(0, len(events) - MAX_EVENTS),
        "face": face_section(score),
        "facts": _facts(score),
    }


def _event(event: dict[str, Any], span_seconds: float) -> dict[str, str]:
    return {
        "start": clock(round(event["start"], 1), span_seconds),
        "end": clock(round(event["end"], 1), span_seconds) + EVENT_ENDS[event["cause"]],
        "state": event["state"],
        "words": STATE_WORDS[event["state"]],
        "extreme": _signed(event["extreme"]),
    }


def _facts(score: FileScore) -> list[tuple[str, str]]:
    summary = score.summary
    media, bundle = summary.media, summary.bundle
    rate, channels = media["frame_rate_hz"], media["audio_channels"]
    frame = f"{media['video_codec']}, {media['width']} by {media['height']}"
    limits = f"+{summary.early_limit_ms:.0f} / \N{MINUS SIGN}{summary.late_limit_ms:.0f} ms"
    resolution = summary.score.offset_resolution_ms
    audio = f"{media['audio_codec']}, {media['audio_rate_hz']} Hz, {channels} channel{'s' * (channels != 1)}"
    return [
        ("Duration", f"{summary.duration_seconds:.2f} s, {media['container']}"),
        ("Video", frame if rate is None else f"{frame}, {rate:.5g} frames/s"),
        ("Audio", f"track {summary.audio_stream}: {audio}"),
        *((f"Audio track {track.number}", _track(track)) for track in score.tracks),
        *(("Note", f"{note[0].upper()}{note[1:]}.") for note in summary.notes),
        ("Decoder", media["decoder"]),
        ("Bundle", f"{bundle['name']}, {bundle['precision']}"),
        ("Encoders", f"visual {bundle['visual_encoder']}, audio {bundle['audio_encoder']}"),
        ("Profile", f"{summary.score.profile}: early / late {limits}"),
        ("Resolution", "not calibrated" if resolution is None else f"{resolution:.0f} ms, the median error"),
        ("Judged on", _judged_on(summary)),
        ("Window", f"{score.records[0].window_seconds:g} s, {summary.num_windows} decisions"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in summary.versions.items())),
    ]


def _track(track: AudioTrack) -> str:
    score = track.summary.score
    return f"{'; '.join([track.description, *track.notes])}: {headline(score)}, {_signed(score.audio_offset_ms)}"


def _judged_on(summary: FileSummary) -> str:
    """What the windows were judged on, and how many faces were seen in one of them."""
    shares = {"a face": summary.path_share[FACE], "the whole picture": summary.path_share[WHOLE]}
    words = ", ".join(f"{name} in {share:.0%} of the windows" for name, share in shares.items() if share > 0)
    return words if summary.num_faces == 0 else f"{words}; {summary.num_faces} face{'s' * (summary.num_faces > 1)}"


def _signed(value: float | None, unit: str = "ms") -> str:
    """A number with its sign and unit, or a dash."""
    if value is None:
        return "–"  # noqa: RUF001
    text = f"{rounded('', float(value)):+.0f}" if abs(value) >= 0.5 else "0"
    return f"{text} {unit}".replace("-", "\N{MINUS SIGN}")
