"""Specs of generated clips read back from truth.jsonl."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import Any

from cavsync.data.synth import ClipSpec


def spec_of(record: dict[str, Any]) -> ClipSpec:
    """The spec in a record of `ClipSpec.to_json` or truth.jsonl; other keys are ignored."""
    known = {field.name: record[field.name] for field in fields(ClipSpec) if field.name in record}
    return ClipSpec(**known | {"fps": Fraction(known.get("fps", 25))})
