"""The keyword arguments that choose what computes the encoders, for signatures that pass them on to `Bundle.open`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class EngineKeywords(TypedDict, total=False):
    """The keywords of `Bundle.open`; their meaning and defaults are documented there."""

    engine: str
    providers: Sequence[str] | None
    threads: int | None
    cores: Sequence[int] | None
