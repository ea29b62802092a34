"""Links of the pages lead somewhere, and files that they name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import PAGES, ROOT, name_of

LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([\w-]+))?\)")
NAMED_FILE = re.compile(
    r"`((?:cavsync|kernels|export|deploy|tests|docs|examples|benchmarks|models)/[\w/.-]+)(?: [^`]*)?`"
)
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def anchors(page: Path) -> set[str]:
    """The anchors that headings get, on GitHub as in the site."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text("utf-8")):
        if path.startswith("https://"):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name_of(page)} links to {path}"
        # The commands' headings are generated.
        if anchor and target.name != "cli.md":
            assert anchor in anchors(target), f"{name_of(page)} links to {path}#{anchor}"


@every_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    missing = [
        path
        for path in NAMED_FILE.findall(page.read_text("utf-8"))
        if not any((ROOT / f"{path}{end}").exists() for end in ("", ".py"))
    ]
    assert missing == []


@every_page
def test_included_files_are_named_as_the_site_needs_it(page: Path) -> None:
    """A formatter took the mark of an include for Python, and the site showed it in place of the file."""
    marks = re.findall(r"^--8\s*<\s*--.*", page.read_text("utf-8"), re.MULTILINE)
    assert [mark for mark in marks if not re.fullmatch(r'--8<-- "[^"]+"', mark)] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130
