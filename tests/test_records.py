"""Records are checked on reading; what pydantic finds becomes one clause of a sentence."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import pytest
from annotated_types import Interval, Len

from cavsync.manifest import FrontendSpec, Manifest
from cavsync.media.align import FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES, SAMPLE_RATE_HZ
from cavsync.records import Record, Rule, UnfitError, one_of, parse


@dataclass(frozen=True)
class Inner(Record):
    size: Annotated[int, Interval(gt=0, le=9)]
    kind: Annotated[str, one_of(("red", "blue"))] = "red"


@dataclass(frozen=True)
class Outer(Record):
    ratio: float
    even: Annotated[Inner, Rule(lambda inner: inner.size % 2 == 0, "should have an even size")]
    mixed: list[int | str] = field(default_factory=list)
    named: Annotated[dict[Annotated[str, Rule(str.islower, "should be lower case")], Inner], Len(0, 2)] = field(
        default_factory=dict
    )


def test_what_is_written_is_read() -> None:
    outer = Outer(0.5, Inner(2), [1, "a"], {"x.y": Inner(3, "blue")})
    assert parse(Outer, json.dumps(asdict(outer)).encode()) == outer


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        ({"ratio": "1"}, "declares ratio = '1', which should be a valid number"),
        ({"ratio": True}, "declares ratio = True, which should be a valid number"),
        ({"ratio": float("nan")}, "declares ratio = nan, which should be a finite number"),
        ({"even": {"size": 10}}, "declares even.size = 10, which should be less than or equal to 9"),
        ({"even": {"size": 3}}, "declares even = {'size': 3}, which should have an even size"),
        ({"even": {"size": 2, "kind": "x"}}, "declares even.kind = 'x', which should be red or blue"),
        ({"even": {}}, "has no entry 'size' in even"),
        ({"even": {"size": 2, "x": 1}}, "has an unknown entry 'x' in even"),
        ({"x\n": 1}, "has an unknown entry 'x\\n'"),
        ({"mixed": [1, []]}, "declares mixed[1] = [], which should be a valid integer or should be a valid string"),
        ({"mixed": ["a" * 99, None]}, "declares mixed[1] = None, which should be a valid integer or should be"),
        ({"named": {"a.b": {"size": 0}}}, "declares named['a.b'].size = 0, which should be greater than 0"),
        ({"named": {"A": {"size": 1}}}, "has the entry 'A' in named, which should be lower case"),
        ({"named": {c: {"size": 1} for c in "abc"}}, "declares named = {'a': {'size': 1}, 'b': "),
        ({"named": "x" * 99}, f"declares named = 'x{'x' * 55}..., which should be an object"),
    ],
)
def test_the_first_problem_is_told_with_its_place(change: dict[str, Any], clause: str) -> None:
    content = {"ratio": 1, "even": {"size": 2}, **change}
    with pytest.raises(UnfitError) as caught:
        parse(Outer, json.dumps(content).encode())
    assert str(caught.value).startswith(clause)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("data", "clause"),
    [(b"", "is not valid JSON"), (b"{", "is not valid JSON"), (b"\xff", "is not valid JSON"), (b"[]", "declares []")],
)
def test_what_is_no_record_is_refused(data: bytes, clause: str) -> None:
    with pytest.raises(UnfitError, match=re.escape(clause)):
        parse(Manifest, data)


def test_the_front_end_is_that_of_the_media() -> None:
    """The manifest states these numbers by itself, because it can be read without NumPy."""
    spec = FrontendSpec()
    found = (spec.sample_rate_hz, spec.frame_length_samples, spec.frame_shift_samples)
    assert found == (SAMPLE_RATE_HZ, FRAME_LENGTH_SAMPLES, FRAME_SHIFT_SAMPLES)
