"""The files that an open project is expected to have say what holds for this one."""

from __future__ import annotations

import re
import tomllib

import pytest
from documents import ROOT

import cavsync

yaml = pytest.importorskip("yaml")
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
CHANGES = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_version_stands_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["scikit-build"]["metadata"]["version"]["input"] == "cavsync/__init__.py"
    assert "cavsync/__init__.py" in (ROOT / "CMakeLists.txt").read_text("utf-8")
    assert cavsync.__version__ in re.findall(r"^## (\S+)", CHANGES, re.MULTILINE)


def test_hosted_checks_run_what_make_has_on_every_supported_python() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]
    assert {"lint", "types", "docs", "wheel", "test", "native"} <= jobs.keys()
    for job in jobs.values():
        for step in job["steps"]:
            for line in re.findall(r"^make (.*)$", step.get("run", ""), re.MULTILINE):
                assert set(line.split()) <= TARGETS
    assert "make native-test" in [step.get("run") for step in jobs["native"]["steps"]]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]


def test_every_entry_of_the_changelog_has_a_kind() -> None:
    for version in re.split(r"^## ", CHANGES, flags=re.MULTILINE)[1:]:
        before, *kinds = re.split(r"^### (.*)\n", version, flags=re.MULTILINE)
        assert not re.search(r"^- ", before, re.MULTILINE), "an entry stands under no kind"
        assert set(kinds[::2]) <= {"Added", "Changed", "Fixed", "Removed", "Deprecated"}
        assert len(set(kinds[::2])) == len(kinds[::2])


def test_every_decision_has_a_number_and_a_date() -> None:
    text = (ROOT / "DECISIONS.md").read_text("utf-8")
    numbered = re.findall(r"^\*\*D(\d+)\*\*, 20\d\d-\d\d-\d\d\. \*\*", text, re.MULTILINE)
    begun = [part for part in text.split("\n\n") if part.startswith("**")]
    assert [part[:60] for part in begun if not re.match(r"\*\*D\d+\*\*, \S+ \*\*", part)] == []
    assert len(set(numbered)) == len(numbered) == len(begun)


def test_those_who_cite_find_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert paper["url"] in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["bug", "feature", "wrong_verdict"])
def test_templates_of_issues_ask_for_something(name: str) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text("utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    assert any(part.get("validations", {}).get("required") for part in form["body"])
