"""The pinned sets of packages belong together; `make test-resolve` installs neither, but asks pip whether it could."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cavsync.cli import info
from cavsync.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SETS = ("constraints.txt", "constraints-torch-2.10.txt")
# What comes with PyTorch, by the start of its name.
OF_TORCH = ("torch", "triton", "xformers", "nvidia-", "cuda-")


def pins(file: str) -> dict[str, str]:
    lines = [line for line in (ROOT / file).read_text("utf-8").splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_the_sets_differ_in_torch_alone() -> None:
    ours, other = (
        {name: version for name, version in pins(file).items() if not name.startswith(OF_TORCH)} for file in SETS
    )
    assert ours == other
    assert [pins(file)["torch"] for file in SETS] == ["2.11.0", "2.10.0"]


@pytest.mark.parametrize("file", SETS)
def test_what_the_project_asks_for_is_in_the_set(file: str) -> None:
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["train"], *extras["export"], *extras["serve"]]
    asked += extras["dev"] if file == SETS[0] else []
    found = pins(file)
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name == "cavsync" or requirement.specifier.contains(found[name]), requirement


def test_the_package_for_gpus_takes_the_pinned_place_of_onnxruntime() -> None:
    stand_in = tomllib.loads((ROOT / "packaging" / "onnxruntime" / "pyproject.toml").read_text("utf-8"))["project"]
    assert stand_in["name"] == "onnxruntime"
    assert stand_in["version"].split("+")[0] == pins(SETS[0])["onnxruntime"]
    (needs,) = map(Requirement, stand_in["dependencies"])
    assert needs.name == "onnxruntime-gpu"
    assert needs.specifier.contains(pins(SETS[0])["onnxruntime"])
    (extra,) = map(Requirement, PROJECT["optional-dependencies"]["gpu"])
    assert extra.name == needs.name
    assert extra.specifier.contains(pins(SETS[0])["onnxruntime"])


def test_info_says_when_both_runtimes_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in of packaging/ has no files of the runtime, so with it nothing is said."""
    contents = {"onnxruntime": ["onnxruntime/__init__.py"], "onnxruntime-gpu": ["onnxruntime/__init__.py"]}

    def files(name: str) -> list[PurePosixPath]:
        if name not in contents:
            raise PackageNotFoundError(name)
        return [PurePosixPath(path) for path in contents[name]]

    monkeypatch.setattr("importlib.metadata.files", files)
    monkeypatch.setattr(info, "_show_kernels", lambda: None)
    sentence = "overwritten each other's files"
    assert sentence in CliRunner().invoke(main, ["info"]).output
    contents["onnxruntime"] = ["onnxruntime-1.31.1+gpu.dist-info/METADATA"]
    assert sentence not in CliRunner().invoke(main, ["info"]).output
    del contents["onnxruntime-gpu"]
    assert sentence not in CliRunner().invoke(main, ["info"]).output


def test_info_says_which_torch_xformers_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xformers")
    monkeypatch.setenv("COLUMNS", "400")
    from cavsync.kernels.xformers.attention import build_reasons

    (reason,) = build_reasons("2.99.0")
    built_for = re.fullmatch(r"xformers was built for PyTorch (\S+), but 2\.99\.0 is installed", reason)
    assert built_for is not None
    assert build_reasons(built_for[1]) == []
    if built_for[1] != installed("torch"):
        assert f"built for PyTorch {built_for[1]}" in CliRunner().invoke(main, ["info"]).output
