"""Twenty steps of fine-tuning against a plain PyTorch loop on a classifier that is written out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_blocks import PlainClassifier
from torch import Tensor

from cavsync.data.labels import read_folder_labels
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.checkpoint import model_of, save_model
from cavsync.model.classifier import CAVMAEFT
from cavsync.run import Run
from cavsync.train import Trainer, override, preset
from cavsync.train.data import RunData
from cavsync.train.ranks import Ranks
from cavsync.train.split import RunPaths
from cavsync.train.tasks.starting_model import with_starting_model

STEPS = 20
CONFIG = ModelConfig(
    audio_length=80,
    img_size=48,
    embed_dim=32,
    num_heads=2,
    depth=4,
    modality_specific_depth=2,
    num_register_tokens=0,
    cls_token=False,
    has_decoder=False,
    chain_joint_blocks=True,
)
TABLES = ("pos_embed_a", "pos_embed_v")


@pytest.mark.parametrize("chosen", [{}, {"tr_pos": False}])
def test_losses_of_twenty_steps(chosen: dict[str, Any], clips: Path, tmp_path: Path) -> None:
    """Every loss is that of the loop to 1e-6 with position tables that are trained, the published default, and with
    fixed ones; only the former move."""
    torch.manual_seed(3)
    start = CAVMAESync(CONFIG)
    save_model(start, tmp_path / "start", 0)
    values: dict[str, Any] = {
        "workers": 0, "precision": "32-true", "accelerator": "cpu", "batch_clips": 3, "max_steps": STEPS,
        "log_every_steps": 1, "held_out_share": 0.25, "cache_clips": False, "halve_from_epoch": STEPS,
        "target": "multi-label", "init_from": str(tmp_path / "start"), **chosen,
    }  # fmt: skip
    run_dir = tmp_path / "run"
    run = Trainer(*override(*with_starting_model(preset("finetune-vggsound"), values, run_dir), values), run_dir)
    run.run(clips)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    found = [line["loss"] for line in lines if "loss" in line]

    wanted, tables = plain_losses(run, clips, start.state_dict())
    assert len(found) == STEPS
    torch.testing.assert_close(torch.tensor(found).double(), torch.tensor(wanted).double(), rtol=1e-6, atol=0)
    trained = model_of(Run.open(run_dir).at(None), averaged=False).state_dict()
    for name in TABLES:
        moved = (trained[name] - start.state_dict()[name]).abs()
        assert float(moved.max()) == 0.0 if chosen else float(moved.min()) > 0.0
        torch.testing.assert_close(trained[name], tables[name], rtol=0, atol=1e-5)


def plain_losses(run: Trainer, clips: Path, start: dict[str, Tensor]) -> tuple[list[float], dict[str, Tensor]]:
    """Take the run's batches with Adam as in the public script; return the losses and the final position tables."""
    train, frozen = run.config, () if run.model_config.tr_pos else TABLES
    labels = (run.run_dir / "class_labels.csv").read_text().splitlines()[1:]
    place = {row.split(",")[2]: int(row.split(",")[0]) for row in labels}
    classes_of = {str(clips / file): names for file, names in read_folder_labels(clips).items()}
    torch.manual_seed(train.seed)
    own = CAVMAEFT(CONFIG, len(place)).state_dict()
    state = {name: start.get(name, value).clone().requires_grad_(name not in frozen) for name, value in own.items()}
    head = [value for name, value in state.items() if name.startswith("mlp_head")]
    body = [value for name, value in state.items() if not name.startswith("mlp_head") and value.requires_grad]
    groups = [{"params": body, "lr": 1e-4}, {"params": head, "lr": 1e-3}]
    adam = torch.optim.Adam(groups, betas=(0.95, 0.999), weight_decay=5e-7)
    data = RunData.open(RunPaths((clips,)), run.model_config, train, Ranks())
    losses = []
    for batch in data.training_batches(0, STEPS):
        targets = torch.full((len(batch), len(place)), 0.1 / len(place))
        for row, content in enumerate(batch.contents):
            for index, share in content:
                for name in classes_of[data.dataset.source.names[index]]:
                    targets[row, place[name]] += 0.9 * share
        fbank, frames = batch.normalised_features(torch.device("cpu")), batch.normalised_frames(torch.device("cpu"))
        chance = PlainClassifier(state, CONFIG.num_heads).logits(fbank, frames[:, 0], "multimodal").sigmoid()
        loss = -(targets * chance.log() + (1 - targets) * (1 - chance).log()).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses, {name: state[name].detach() for name in TABLES}
