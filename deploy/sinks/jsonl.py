"""JSON lines: one object per decision, then one for the file; a file that failed gives one object with its error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cavsync.deploy.files.score_file import FileFailure, Outcome


def json_line(item: dict[str, Any]) -> str:
    """One object as a line of strict JSON: never NaN or Infinity."""
    return json.dumps(item, allow_nan=False, ensure_ascii=False) + "\n"


def jsonl_text(outcomes: Iterable[Outcome]) -> str:
    """One line per object; `kind` is `window`, `summary` or `error`. Strict JSON: never NaN or Infinity."""
    return "".join(json_line(item) for outcome in outcomes for item in _objects(outcome))


def _objects(outcome: Outcome) -> list[dict[str, Any]]:
    if isinstance(outcome, FileFailure):
        return [{"kind": "error", "source": outcome.source, "error": outcome.error}]
    windows = [{"kind": "window", "source": outcome.source, **record.to_dict()} for record in outcome.records]
    return [*windows, outcome.summary.to_dict()]
