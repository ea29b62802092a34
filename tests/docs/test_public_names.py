"""docs/reference names what the packages offer; everything named exists and is documented."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import cavsync

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (ROOT / "docs" / "reference" / "python.md").read_text("utf-8")
NAMED = re.findall(r"^::: ([\w.]+)$", PYTHON, re.MULTILINE)
PACKAGES = [
    "cavsync.deploy",
    "cavsync.deploy.live",
    "cavsync.media",
    "cavsync.export",
    "cavsync.train",
    "cavsync.model",
    "cavsync.kernels",
]


def has_own_docstring(thing: object) -> bool:
    """Whether a class or function has a docstring that somebody wrote: dataclasses without one get their signature."""
    text = thing.__doc__ or ""
    name = getattr(thing, "__name__", "")
    return bool(text.strip()) and not text.startswith(f"{name}(")


def test_the_page_shows_every_public_package_and_further_names() -> None:
    """The site shows what `__all__` of each package names, with its docstring."""
    assert NAMED[: len(PACKAGES)] == PACKAGES
    assert len(set(NAMED)) == len(NAMED)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_exist_and_are_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert has_own_docstring(module)
    assert module.__all__
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert has_own_docstring(thing), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("path", NAMED[len(PACKAGES) :])
def test_further_names_exist_and_are_documented(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert has_own_docstring(getattr(importlib.import_module(module), name))


def test_the_top_package_offers_its_version_only() -> None:
    public = {name for name, value in vars(cavsync).items() if not isinstance(value, ModuleType)}
    assert {name for name in public if not name.startswith("_")} == set()
    assert has_own_docstring(cavsync)
