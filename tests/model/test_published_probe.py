"""The heads on the frames of a clip: files under the public names, and the logits of the rule, written out here.

The plain version has one block, loops and nothing packed: the public code of CAV-MAE Sync (arXiv 2505.01237).
"""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from plain_blocks import PlainBlocks
from small_models import small_inputs
from torch import Tensor

from cavsync.errors import CheckpointError, ConfigError
from cavsync.model.checkpoint import save_model
from cavsync.model.classifier import CAVMAEFT, Mode
from cavsync.model.config import CAV_MAE_SYNC, ModelConfig
from cavsync.model.load import load_any
from cavsync.model.upstream import inspect_upstream, load_upstream

HEADS, DIM, REGISTERS, CLASSES = 2, 32, 2, 7
SYNC = ModelConfig(
    audio_length=80,
    img_size=48,
    embed_dim=DIM,
    num_heads=HEADS,
    depth=4,
    modality_specific_depth=2,
    num_register_tokens=REGISTERS,
    has_decoder=False,
    chain_joint_blocks=True,
)
PLAIN = SYNC.model_copy(update={"cls_token": False, "num_register_tokens": 0})
PAIR = ("weight", "bias")


def block_names(stack: str, depth: int) -> set[str]:
    """A block has two layers of attention, two of the MLP, and three sets of two norms."""
    layers = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", *(f"norm{n}{m}" for n in "12" for m in ("", "_a", "_v"))]
    return {f"{stack}.{block}.{layer}.{kind}" for block in range(depth) for layer in layers for kind in PAIR}


def probe_names() -> set[str]:
    """What the probe adds to an encoder, from its description: a token, two blocks, a norm and a layer."""
    return {"cls_cls_token", *block_names("classifier_layers", 2)} | {
        f"classifier_{part}.{kind}" for part in ("norm", "head") for kind in PAIR
    }


def published(tmp_path: Path, config: ModelConfig, head: str) -> tuple[Path, dict[str, Tensor]]:
    """A file as the authors save it, and its content: random numbers, so that no norm is trivial."""
    random = torch.Generator().manual_seed(3)
    shapes = {name: value.shape for name, value in CAVMAEFT(config, CLASSES, head).state_dict().items()}
    state = {name: 0.15 * torch.randn(shape, generator=random) for name, shape in shapes.items()}
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "probe.pth")
    return tmp_path / "probe.pth", state


class Plain(PlainBlocks):
    """The published classes from their tensors, one operation at a time, in float64."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__({name: value.double() for name, value in state.items()}, HEADS)

    def tokens(self, image: Tensor, modality: str) -> Tensor:
        """After the modality's own blocks: global token first, registers dropped."""
        weight, bias = (self.state[f"patch_embed_{modality}.proj.{kind}"] for kind in PAIR)
        x = F.conv2d(image, weight, bias, stride=16).flatten(2).transpose(1, 2)
        x = x + self.state[f"pos_embed_{modality}"] + self.state[f"modality_{modality}"]
        registers = self.state.get("register_tokens", torch.empty(0, DIM).double())
        own = registers[: len(registers) // 2] if modality == "a" else registers[len(registers) // 2 :]
        if f"cls_token_{modality}" in self.state:
            x = torch.cat([self.state[f"cls_token_{modality}"].expand(len(x), -1, -1), x], dim=1)
        x = torch.cat([x, own.expand(len(x), -1, -1)], dim=1)
        for number in range(2):
            x = self.block(x, f"blocks_{modality}.{number}")
        return x[:, : x.shape[1] - len(own)]

    def joint_mean(self, x: Tensor) -> Tensor:
        for number in range(2):
            x = self.block(x, f"blocks_u.{number}")
        return self.norm(x, "norm").mean(dim=1)

    def attended(self, features: Tensor) -> Tensor:
        """A learned token before the frames of each clip, two blocks, and a layer on what it has become."""
        x = torch.cat([self.state["cls_cls_token"].expand(len(features), -1, -1), features], dim=1)
        for number in range(2):
            x = self.block(x, f"classifier_layers.{number}")
        return self.linear(self.norm(x, "classifier_norm")[:, 0], "classifier_head")


def images(config: ModelConfig, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The model's inputs, and the same as the plain version takes them."""
    fbank, frames = small_inputs(config, batch=count)
    return fbank, frames, fbank[:, None].transpose(2, 3).double(), frames.double()


@pytest.mark.parametrize("frames_per_clip", [1, 3])
@pytest.mark.parametrize("config", [SYNC, PLAIN], ids=["globals", "means"])
def test_probe(config: ModelConfig, frames_per_clip: int, tmp_path: Path) -> None:
    """Audio's global token, then that of the frame, as they leave the modality's blocks; the joint block is unused."""
    path, state = published(tmp_path, config, "self_attention_cls")
    fbank, frames, audio, visual = images(config, 2 * frames_per_clip)
    plain = Plain(state)
    parts = [plain.tokens(audio, "a"), plain.tokens(visual, "v")]
    rows = torch.cat([part[:, 0] if config.cls_token else part.mean(dim=1) for part in parts], dim=1)
    expected = plain.attended(rows.view(2, frames_per_clip, 2 * DIM))
    model = load_upstream(path, num_heads=HEADS)
    assert isinstance(model, CAVMAEFT)
    assert (model.head, model.label_dim, model.config) == ("self_attention_cls", CLASSES, config)
    with torch.no_grad():
        found = model(fbank, frames, frames_per_clip=frames_per_clip)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
        order = torch.arange(2 * frames_per_clip).view(2, -1).flip(1).flatten()
        flipped = model(fbank[order], frames[order], frames_per_clip=frames_per_clip)
    torch.testing.assert_close(flipped, found, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="use multimodal"):
        model(fbank, mode="audio-only", frames_per_clip=frames_per_clip)
    # It survives a run's folder.
    save_model(model, tmp_path / "run", 0)
    again = load_any(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(again(fbank, frames, frames_per_clip=frames_per_clip), found)


@pytest.mark.parametrize("mode", ["audio-only", "visual-only"])
def test_probe_of_one_modality(mode: Mode, tmp_path: Path) -> None:
    """The mean of all tokens after the joint blocks, which one modality passes with the joint norms."""
    path, state = published(tmp_path, SYNC, "self_attention_cls_single")
    fbank, frames, audio, visual = images(SYNC, 6)
    plain = Plain(state)
    tokens = plain.tokens(audio, "a") if mode == "audio-only" else plain.tokens(visual, "v")
    expected = plain.attended(plain.joint_mean(tokens).view(2, 3, DIM))
    model = load_upstream(path, num_heads=HEADS)
    assert isinstance(model, CAVMAEFT)
    assert model.head == "self_attention_cls_single"
    with torch.no_grad():
        found = model(fbank, frames, mode, frames_per_clip=3)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="use audio-only or visual-only"):
        model(fbank, frames, frames_per_clip=3)


def test_concatenated_frames(tmp_path: Path) -> None:
    """Means of the joint stream of ten frames, one after the other, through four layers with a GELU between."""
    path, state = published(tmp_path, PLAIN, "concat_mlp")
    fbank, frames, audio, visual = images(PLAIN, 20)
    plain = Plain(state)
    x = plain.joint_mean(torch.cat([plain.tokens(audio, "a"), plain.tokens(visual, "v")], dim=1)).view(2, 10 * DIM)
    x = plain.linear(plain.norm(x, "mlp_head.0"), "mlp_head.1")
    for layer in (3, 5, 7):
        x = plain.linear(x * 0.5 * (1 + torch.erf(x / 2**0.5)), f"mlp_head.{layer}")
    model = load_upstream(path, num_heads=HEADS)
    assert isinstance(model, CAVMAEFT)
    assert (model.head, model.label_dim) == ("concat_mlp", CLASSES)
    shapes = {name: tuple(state[f"mlp_head.{name}.weight"].shape) for name in (1, 3, 5, 7)}
    assert shapes == {1: (5 * DIM, 10 * DIM), 3: (2 * DIM, 5 * DIM), 5: (DIM, 2 * DIM), 7: (CLASSES, DIM)}
    with torch.no_grad():
        found = model(fbank, frames, frames_per_clip=10)
    torch.testing.assert_close(found.double(), x, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="10 frames per clip"):
        model(fbank, frames, frames_per_clip=5)


def test_what_a_file_cannot_settle_is_refused(tmp_path: Path) -> None:
    """Concatenated means with global tokens, and a file of the probe that lacks its token."""
    path, state = published(tmp_path, SYNC, "concat_mlp")
    with pytest.raises(CheckpointError, match="cannot be told"):
        inspect_upstream(path, num_heads=HEADS)
    path, state = published(tmp_path, SYNC, "self_attention_cls")
    del state["classifier_layers.1.norm2_v.bias"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"missing \(classifier_layers\.1\.norm2_v\.bias"):
        load_upstream(path, num_heads=HEADS)


def test_names_and_initial_token() -> None:
    """At the published size: the public names, width 1,536 and 768; the token's numbers have a spread of 0.02."""
    with torch.device("meta"):
        encoder = {name for name in CAVMAEFT(CAV_MAE_SYNC, 309).state_dict() if not name.startswith("mlp_head")}
        both = CAVMAEFT(CAV_MAE_SYNC, 309, "self_attention_cls").state_dict()
        one = CAVMAEFT(CAV_MAE_SYNC, 309, "self_attention_cls_single").state_dict()
    assert set(both) == set(one) == encoder | probe_names()
    assert (both["cls_cls_token"].shape, one["cls_cls_token"].shape) == ((1, 1, 1536), (1, 1, 768))
    assert both["classifier_layers.0.mlp.fc1.weight"].shape == (4 * 1536, 1536)
    torch.manual_seed(0)
    tokens = [CAVMAEFT(SYNC, CLASSES, "self_attention_cls").cls_cls_token.detach().flatten() for _ in range(40)]
    token = torch.cat(tokens)
    assert float(token.std()) == pytest.approx(0.02, rel=0.05)
