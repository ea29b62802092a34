"""Names of many clips, each looked up when it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload


class LazyNames(Sequence[str]):
    """`count` names; `name_of(index)` looks up one of them."""

    def __init__(self, count: int, name_of: Callable[[int], str]) -> None:
        self._indices, self._name_of = range(count), name_of

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        chosen = self._indices[index]
        return self._name_of(chosen) if isinstance(chosen, int) else [self._name_of(place) for place in chosen]
