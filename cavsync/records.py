"""Records read from JSON: dataclasses whose annotations state every limit, checked by pydantic when they are read.

The program builds its own records unchecked. pydantic is imported at the first check: importing it takes a sixth as
long as `cavsync.deploy`, which checks nothing on import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
    from pydantic_core import CoreSchema, ErrorDetails

MAX_SHOWN = 60
# pydantic ends the place of an error in `int | str` with the type that it tried, and that of a bad key with this mark.
TRIED_TYPES, KEY = ("int", "str"), "[key]"


class Record:
    """Base of the dataclasses: unknown entries, other types and numbers that are not finite are refused."""

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Rule:
    """A limit in an annotation: `holds` decides, `expected` says it in words that follow "which"."""

    holds: Callable[[Any], bool]
    expected: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: Any) -> Any:
            if not self.holds(value):
                raise PydanticCustomError("rule", "Value {expected}", {"expected": self.expected})
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))


class UnfitError(ValueError):
    """A fault of a file, as the part of the sentence that follows its path."""


def one_of(values: Collection[Any]) -> Rule:
    """The value is one of `values`."""
    return Rule(lambda value: value in values, f"should be {' or '.join(map(str, values))}")


def parse(kind: type[R], data: bytes) -> R:
    """Check JSON and return it as a record.

    Raises:
        UnfitError: `data` is not JSON, or not a record of this kind.
    """
    from pydantic import ValidationError

    try:
        record: R = _adapter(kind).validate_json(data)  # type: ignore[arg-type]  # classes are hashable
    except ValidationError as error:
        raise UnfitError(problem(error)) from None
    return record


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def problem(error: ValidationError) -> str:
    """The first problem that pydantic found, as a clause: "declares sync.hop_ms = 0, which should be ..."."""
    found = error.errors(include_url=False)
    (*parents, last), kind = found[0]["loc"] or ("",), found[0]["type"]
    place = _place(found[0]["loc"])
    section = f" in {_place(parents)}" if parents else ""
    if kind == "json_invalid":
        return f"is not valid JSON ({found[0]['ctx']['error']})"
    if kind == "missing":
        return f"has no entry {shown(last)}{section}"
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"has an unknown entry {shown(last)}{section}"
    # One error for each type of a union.
    wanted = " or ".join(dict.fromkeys(_wanted(item) for item in found if _place(item["loc"]) == place))
    if last == KEY:
        return f"has the entry {shown(found[0]['input'])} in {_place(parents[:-1])}, which {wanted}"
    return f"declares {place and f'{place} = '}{shown(found[0]['input'])}, which {wanted}"


def shown(value: Any) -> str:
    """A value from an untrusted file, shortened and in ASCII, so that a terminal obeys nothing in it."""
    text = ascii(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _wanted(item: ErrorDetails) -> str:
    """Return the expectation of pydantic, such as "should be a valid number"."""
    _, found, expected = item["msg"].partition(" should ")
    return f"should {expected.partition(' after validation')[0]}" if found else f"is wrong ({item['msg']})"


def _place(parts: Sequence[int | str]) -> str:
    """`files['a.onnx'].size_bytes`, `engines[0].file`; empty for the whole record."""
    place = ""
    for part in parts:
        if part in TRIED_TYPES:
            continue
        is_name = isinstance(part, str) and part.isidentifier() and part.isascii() and len(part) <= MAX_SHOWN
        place += f".{part}" if is_name else f"[{shown(part)}]"
    return place.removeprefix(".")
