"""docs/reference names what the packages offer; everything named exists and is documented."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import griffe
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


LOADER = griffe.GriffeLoader(search_paths=[ROOT / ".types"])


def documented(path: str) -> griffe.Object | griffe.Alias:
    """A package or module as the site reads it, without importing it."""
    return LOADER.load(path)


def test_the_page_shows_every_public_package_and_further_names() -> None:
    """The site shows what `__all__` of each package names, with its docstring."""
    assert NAMED[: len(PACKAGES)] == PACKAGES
    assert len(set(NAMED)) == len(NAMED)


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_exist_and_have_docstrings(package: str) -> None:
    """Names without a docstring are left out of the site."""
    names = importlib.import_module(package).__all__
    assert names
    assert all(hasattr(importlib.import_module(package), name) for name in names)
    page = documented(package)
    assert page.has_docstring
    assert [name for name in names if not page[name].has_docstring] == []


@pytest.mark.parametrize("path", NAMED[len(PACKAGES) :])
def test_further_names_exist_and_have_docstrings(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)
    assert documented(module)[name].has_docstring


def test_the_top_package_offers_its_version_only() -> None:
    public = {name for name, value in vars(cavsync).items() if not isinstance(value, ModuleType)}
    assert {name for name in public if not name.startswith("_")} == set()
