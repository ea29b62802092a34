"""Models with random weights, which are as fast as trained ones, and their bundles, kept in build/benchmarks."""

from __future__ import annotations

from pathlib import Path

import torch

from cavsync.export import export_bundle
from cavsync.export.inputs import require_bundle_folder
from cavsync.manifest import MANIFEST_NAME
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.checkpoint import save_model
from cavsync.model.upstream import load_upstream
from cavsync.train import preset

BUILD = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
PUBLISHED, SYNC_TINY = "cav-mae-sync-base", "sync-tiny"


def model_config(name: str) -> ModelConfig:
    """Return the model of a preset that has the whole picture for its input."""
    config = preset(name)[0]
    assert isinstance(config, ModelConfig)
    return config


def random_model(name: str) -> CAVMAESync:
    """Return a preset's model with random weights; the published one passes through the authors' format."""
    torch.manual_seed(0)
    model = CAVMAESync(model_config(name))
    if name != PUBLISHED:
        return model.eval()
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / "published.pth"
    torch.save({f"module.{key}": value for key, value in model.state_dict().items()}, path)
    loaded = load_upstream(path)
    path.unlink()
    assert isinstance(loaded, CAVMAESync)
    return loaded.eval()


def random_bundle(name: str, precision: str) -> Path:
    """Return the bundle of `random_model(name)`, exported once by the code of `cavsync export --precision`."""
    folder = BUILD / f"{name}-{precision}"
    if not (folder / MANIFEST_NAME).is_file():
        print(f"exporting {name} in {precision} to {folder}", flush=True)
        require_bundle_folder(folder, overwrite=False)
        save_model(random_model(name), BUILD / f"{name}-run", 0)
        export_bundle(BUILD / f"{name}-run", folder, precision=precision, calibration_clips=[], name=name)
    return folder
