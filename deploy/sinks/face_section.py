"""The report's section on the face that a file is judged on."""

from __future__ import annotations

import base64
from typing import Any

from cavsync.deploy.files.face_file import SpeakingFace
from cavsync.deploy.files.score_file import FileScore
from cavsync.deploy.sinks.axes import clock
from cavsync.deploy.sinks.charts import pooled
from cavsync.deploy.sinks.face_chart import face_chart
from cavsync.deploy.verdict.records import FACE, WHOLE

PATH_WORDS = {FACE: "face", WHOLE: "whole picture"}


def face_section(score: FileScore) -> dict[str, Any] | None:
    """Return the values that the template shows; None for a file in which no face was there long enough."""
    face, summary = score.face, score.summary
    if face is None:
        return None
    total, span_seconds = summary.score, summary.duration_seconds
    chart = face_chart(face, total.audio_offset_ms if total.is_measured else None)
    stretch = [clock(round(time, 1), span_seconds) for time in (chart.begin_seconds, chart.end_seconds)]
    return {
        "picture": _picture(score),
        "chart": chart,
        "stretch": f"{stretch[0]} to {stretch[1]}",
        "facts": [
            ("Verdict rests on", PATH_WORDS[total.path]),
            *((f"Windows on the {PATH_WORDS[path]}", f"{share:.0%}") for path, share in summary.path_share.items()),
            ("Most faces at once", str(summary.num_faces)),
            *_view_facts(face),
        ],
        "windows": [
            {
                "start": clock(round(record.time_seconds - record.window_seconds, 1), span_seconds),
                "record": record,
                "path": PATH_WORDS[record.path],
                "faces": len(record.faces),
            }
            for record in pooled(score.records)
        ],
    }


def _view_facts(face: SpeakingFace) -> list[tuple[str, str]]:
    view = face.view
    return [
        ("Seen", f"{view.share:.0%} of the time"),
        ("Between the eyes", f"{view.eye_distance_px:.0f} pixels"),
        ("Turned to the front", f"{view.frontality:.0%}"),
        ("Shortcoming", view.shortcoming or "none"),
    ]


def _picture(score: FileScore) -> dict[str, Any] | None:
    picture = score.picture
    if picture is None:
        return None
    return {
        "uri": "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode("ascii"),
        "width": picture.width_px,
        "height": picture.height_px,
        "time": clock(round(picture.time_seconds, 1), score.summary.duration_seconds),
    }
