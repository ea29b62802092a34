"""What is tested is what was installed."""

import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cavsync

ROOT = Path(__file__).resolve().parent.parent

BLOCKER = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchaudio", "scipy", "lightning_fabric", "onnx"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
"""


@pytest.mark.skipif(os.environ.get("CAVSYNC_EXPECT") != "wheel", reason="tests run on the editable install")
def test_the_wheel_is_what_runs() -> None:
    """None of the four packages comes from the checkout."""
    import cavsync.deploy
    import cavsync.export
    import cavsync.kernels

    for module in (cavsync, cavsync.deploy, cavsync.export, cavsync.kernels):
        assert "site-packages" in Path(str(module.__file__)).parts


@pytest.mark.skipif(os.environ.get("CAVSYNC_EXPECT") != "wheel", reason="tests run on the editable install")
def test_the_wheel_has_no_weights_for_research_only() -> None:
    """Its licence is Apache-2.0, and that of sync-research forbids commercial use."""
    models = Path(str(cavsync.__file__)).parent / "models"
    assert {path.parent.name for path in models.rglob("manifest.json")} == {"sync-tiny"}
    assert not list(models.glob("**/*research*"))


def test_every_module_can_be_imported() -> None:
    """Nothing that a module needs was left out of the package."""
    names = [module.name for module in pkgutil.walk_packages(cavsync.__path__, "cavsync.")]
    assert {
        "cavsync.kernels.dispatch",
        "cavsync.export.plan",
        "cavsync.deploy.stream.scorer",
        "cavsync.model.block",
    } <= {*names}
    for name in names:
        if not name.startswith("cavsync.models"):
            importlib.import_module(name)


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code away from the checkout, with torch and friends not to be found."""
    return subprocess.run(
        [sys.executable, "-P", "-c", BLOCKER + code], capture_output=True, text=True, cwd="/", check=False
    )


def test_deploy_and_score_without_torch() -> None:
    """The scorer, its sinks and the command import where torch is missing."""
    done = run("import cavsync.deploy, cavsync.deploy.sinks, cavsync.cli.score")
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_one_sentence() -> None:
    """`cavsync train` without torch says what to install."""
    code = "from cavsync.cli.main import main; main(['train', '--preset', 'debug', '--data', '.', '--out', 'x'])"
    done = run(code)
    assert done.returncode == 1
    assert "pip install 'cavsync[train]'" in done.stderr
    assert "Traceback" not in done.stderr
