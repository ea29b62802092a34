"""Fine-tuned checkpoints of the authors: every key finds its place, and the forward is the paper's, written out here.

The plain version has one block for each kind of norm, loops and nothing packed: CAV-MAE (arXiv 2210.07839), section 4.
"""

from pathlib import Path

import pytest
import torch
from plain_blocks import PlainClassifier
from small_models import small_inputs
from torch import Tensor

from cavsync.errors import CheckpointError
from cavsync.model.classifier import CAVMAEFT, MODES, Mode
from cavsync.model.config import CAV_MAE, ModelConfig
from cavsync.model.upstream import load_upstream

HEADS = 2
CONFIG = ModelConfig(
    audio_length=80,
    img_size=48,
    embed_dim=32,
    num_heads=HEADS,
    depth=4,
    modality_specific_depth=2,
    num_register_tokens=0,
    cls_token=False,
    has_decoder=False,
    chain_joint_blocks=True,
)
CLASSES = 7


def published_keys(specific: int, joint: int) -> set[str]:
    """The names in an authors' CAVMAEFT file, from its description: embeddings, blocks with three sets of norms, three
    final norms, and a head of a LayerNorm and a linear layer."""
    pair = ("weight", "bias")
    names = {f"patch_embed_{m}.proj.{kind}" for m in "av" for kind in pair}
    names |= {f"{table}_{m}" for table in ("pos_embed", "modality") for m in "av"}
    names |= {f"norm{m}.{kind}" for m in ("", "_a", "_v") for kind in pair}
    names |= {f"mlp_head.{layer}.{kind}" for layer in (0, 1) for kind in pair}
    for stack, depth in (("blocks_a", specific), ("blocks_v", specific), ("blocks_u", joint)):
        for block in range(depth):
            layers = (
                "attn.qkv",
                "attn.proj",
                "mlp.fc1",
                "mlp.fc2",
                *(f"norm{n}{m}" for n in "12" for m in ("", "_a", "_v")),
            )
            names |= {f"{stack}.{block}.{layer}.{kind}" for layer in layers for kind in pair}
    return names


def published_state(seed: int = 0) -> dict[str, Tensor]:
    """A file's content: random numbers under the published names, so that no norm is trivial."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: value.shape for name, value in CAVMAEFT(CONFIG, CLASSES).state_dict().items()}
    assert shapes.keys() == published_keys(2, 2)
    return {f"module.{name}": 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as the authors save it."""
    torch.save(published_state(), tmp_path / "ft.pth")
    return tmp_path / "ft.pth"


@pytest.mark.parametrize("mode", MODES)
def test_forward_is_the_published_one(mode: Mode, path: Path) -> None:
    model = load_upstream(path, num_heads=HEADS)
    assert isinstance(model, CAVMAEFT)
    assert model.config == CONFIG
    fbank, frames = small_inputs(CONFIG)
    with torch.no_grad():
        expected = PlainClassifier(published_state(), HEADS).logits(fbank, frames, mode)
        torch.testing.assert_close(model(fbank, frames, mode), expected, rtol=1e-4, atol=1e-4)


def test_keys_at_the_published_size() -> None:
    """Eleven blocks per modality and a joint one, 527 classes: the file's names and no other."""
    with torch.device("meta"):
        state = CAVMAEFT(CAV_MAE, 527).state_dict()
    assert state.keys() == published_keys(11, 1)
    assert state["mlp_head.1.weight"].shape == (527, 768)


@pytest.mark.parametrize("change", ["missing", "left over", "of another shape"])
def test_strict(change: str, path: Path) -> None:
    """One tensor too few, too many or too wide is refused by name."""
    state = published_state()
    name = "blocks_u.1.norm2_v.bias"
    if change == "missing":
        del state[f"module.{name}"]
    elif change == "left over":
        name = "mlp_head_a.1.bias"
        state[f"module.{name}"] = torch.zeros(7)
    else:
        state[f"module.{name}"] = torch.zeros(33)
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=rf"{change} \({name}"):
        load_upstream(path, num_heads=HEADS)
