"""Any model that a path names: a run of ours, or a checkpoint of the authors."""

from pathlib import Path

from cavsync.model.cav_mae_sync import CAVMAESync
from cavsync.model.checkpoint import load_classifier, load_model, read_run_config
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.upstream import load_upstream


def load_any(path: str | Path) -> CAVMAESync | CAVMAEFT:
    """The pretraining model or classifier of a run's last step (its average where it keeps one), or of a `.pth` file.

    Raises CheckpointError where it is missing, damaged, or neither.
    """
    if not Path(path).is_dir():
        return load_upstream(path)
    is_classifier = read_run_config(path).get("label_dim") is not None
    return load_classifier(path) if is_classifier else load_model(path)
