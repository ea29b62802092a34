"""docs/public-api.md names exactly what the packages offer, everything in it exists, and everything is documented."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

import cavsync

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "public-api.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ROW = re.compile(r"^\| `([\w.]+)` \| (.*) \|$", re.MULTILINE)
PACKAGES = (
    "cavsync.model",
    "cavsync.train",
    "cavsync.media",
    "cavsync.kernels",
    "cavsync.export",
    "cavsync.deploy",
    "cavsync.deploy.live",
)


def rows(heading: str) -> dict[str, str]:
    """Names and descriptions in the table below a heading of the page."""
    (section,) = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    found = ROW.findall(section)
    assert len(dict(found)) == len(found), "a name has two rows"
    return dict(found)


def has_own_docstring(thing: object) -> bool:
    """Whether a class or function has a docstring that somebody wrote: dataclasses without one get their signature."""
    text = thing.__doc__ or ""
    name = getattr(thing, "__name__", "")
    return bool(text.strip()) and not text.startswith(f"{name}(")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_names_what_a_package_offers(package: str) -> None:
    found = rows(f"`{package}`")
    assert sorted(found) == sorted(importlib.import_module(package).__all__)
    assert all(found.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_exist_and_are_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert has_own_docstring(module)
    for name in module.__all__:
        thing = getattr(module, name)
        # Constants have no docstring of their own; their row in the page describes them.
        if inspect.isclass(thing) or inspect.isroutine(thing):
            assert has_own_docstring(thing), f"{package}.{name} has no docstring"


def test_further_names_exist_and_are_documented() -> None:
    found = rows("Further names")
    assert found
    for path in found:
        module, _, name = path.rpartition(".")
        assert has_own_docstring(getattr(importlib.import_module(module), name)), path


def test_no_package_of_the_page_is_left_out() -> None:
    assert set(re.findall(r"^### `([\w.]+)`$", PAGE, re.MULTILINE)) == {"cavsync", *PACKAGES}


def test_the_top_package_offers_its_version_only() -> None:
    public = {name for name, value in vars(cavsync).items() if not isinstance(value, ModuleType)}
    assert {name for name in public if not name.startswith("_")} == set()
    assert has_own_docstring(cavsync)


@pytest.mark.parametrize("page", ["PAGE", "ARCHITECTURE"])
def test_files_that_the_pages_name_exist(page: str) -> None:
    """Paths between backquotes that begin with a folder of the repository, and links to other pages."""
    text = {"PAGE": PAGE, "ARCHITECTURE": ARCHITECTURE}[page]
    paths = re.findall(r"`((?:cavsync|kernels|export|deploy|tests|docs)/[\w/.]*)`", text)
    linked = [f"docs/{name}" for name in re.findall(r"\]\(([\w-]+\.md)\)", text)]
    missing = [path for path in (*paths, *linked) if not any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))]
    assert missing == []
