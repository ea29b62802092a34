"""The second path, the teacher and its ranking, against the rule written out one operation at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_models import PAIRS, small_config, small_inputs, small_model
from torch import Tensor

from cavsync.errors import ConfigError
from cavsync.model import CAVMAESync, ModelConfig
from cavsync.model.block import Block
from cavsync.model.masking import ContrastPath, ranked
from cavsync.model.patch import FramePairs
from cavsync.model.teacher import TeacherEncoder, Teaching

OPTIONS = [
    {},
    {"keep_register_tokens": True},
    {"modality_specific_depth": 1},
    {"modality_specific_depth": 1, "chain_joint_blocks": True},
]


def teacher_of(model: CAVMAESync) -> TeacherEncoder:
    """A teacher with the model's weights."""
    teacher = TeacherEncoder(model.config)
    teacher.load_state_dict({name: model.state_dict()[name] for name in teacher.state_dict()})
    return teacher.eval()


def joint_block(model: CAVMAESync, block: Block, x: Tensor, stream: str) -> tuple[Tensor, Tensor]:
    """A block of one stream as published, and its attention (B, heads, n, n)."""
    heads, width = model.config.num_heads, model.config.embed_dim // model.config.num_heads
    norm1, norm2 = getattr(block, f"norm1_{stream}"), getattr(block, f"norm2_{stream}")
    query, key, value = block.attn.qkv(norm1(x)).view(*x.shape[:2], 3, heads, width).permute(2, 0, 3, 1, 4)
    attention = (query @ key.transpose(2, 3) / width**0.5).softmax(dim=-1)
    x = x + block.attn.proj((attention @ value).transpose(1, 2).reshape(x.shape))
    return x + block.mlp(norm2(x)), attention


def by_hand(model: CAVMAESync, tokens: Tensor, stream: str, patches: int) -> tuple[Tensor, Tensor]:
    """Global vector, and attention of each patch to the global token, mean over heads."""
    blocks = list(model.blocks_u)
    chained = model.config.chain_joint_blocks
    for block in blocks if chained else blocks[-1:]:
        tokens, attention = joint_block(model, block, tokens, stream)
    norm = getattr(model, f"norm_{stream}")
    return norm(tokens[:, 0]), attention[:, :, 1 : 1 + patches, 0].mean(dim=1)


def descending(priority: Tensor) -> np.ndarray:
    """The place of each patch in the order of falling priority, by a sort of pairs."""
    rows = []
    for row in priority.tolist():
        order = sorted(range(len(row)), key=lambda patch: (-row[patch], patch))
        rows.append([order.index(patch) for patch in range(len(row))])
    return np.array(rows)


@pytest.mark.parametrize("options", OPTIONS)
def test_teacher_sees_everything(options: dict[str, object]) -> None:
    """Vectors of the unmasked inputs after norm_a and norm_v, and the joint block's attention to the global token."""
    model = small_model(seed=2, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
        fbank, frames = small_inputs(model.config)
        found = teacher_of(model)(fbank, frames)
        audio = by_hand(model, model.audio_stream(model.embed_audio(fbank)), "a", 40)
        visual = by_hand(model, model.visual_stream(model.embed_frames(frames)), "v", 9)
    assert isinstance(found, Teaching)
    for got, expected in zip(found, (audio[0], visual[0], audio[1], visual[1]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for priority in (audio[1], visual[1]):
        assert (ranked(priority).numpy() == descending(priority)).all()


def test_equal_priorities_keep_their_order() -> None:
    """Also among many, where an unstable sort would not."""
    priority = torch.randint(0, 3, (5, 300), generator=torch.Generator().manual_seed(0)).float()
    assert (ranked(priority).numpy() == descending(priority)).all()


def test_two_paths_by_hand() -> None:
    """Reconstruction of what the first masks hide, contrast and distillation of what the second ones leave."""
    model = small_model(seed=3, bidirectional_contrast=True)
    fbank, frames = small_inputs(model.config)
    random = torch.Generator().manual_seed(5)
    ranks = [torch.rand(4, count, generator=random).argsort(dim=1) for count in (40, 9, 40, 9)]
    targets = (torch.randn(4, 32, generator=random), torch.randn(4, 32, generator=random))
    masks = {"ids_restore_audio": ranks[0], "ids_restore_visual": ranks[1]}
    output = model(
        fbank,
        frames,
        contrast_loss_weight=0.5,
        contrast_path=ContrastPath(0.5, ranks[2], ranks[3]),
        distil_loss_weight=0.25,
        targets=targets,
        **masks,
    )
    first = model(fbank, frames, contrast_loss_weight=0.0, **masks)
    vectors = []
    for patches, stream, ids, kept in (
        (model.embed_audio(fbank), model.audio_stream, ranks[2], 20),
        (model.embed_frames(frames), model.visual_stream, ranks[3], 4),
    ):
        visible = torch.stack([row[place.argsort()[:kept]] for row, place in zip(patches, ids, strict=True)])
        name = "a" if stream == model.audio_stream else "v"
        vectors.append(by_hand(model, stream(visible), name, kept)[0])
    audio, visual = (F.normalize(vector, dim=1) for vector in vectors)
    logits = visual @ audio.T / 0.05
    expected = (F.cross_entropy(logits, torch.arange(4)) + F.cross_entropy(logits.T, torch.arange(4))) / 2
    distance = sum(((vector - target) ** 2).mean() for vector, target in zip(vectors, targets, strict=True))
    torch.testing.assert_close(output.loss_mae, first.loss_mae, rtol=1e-6, atol=0)
    torch.testing.assert_close(output.loss_contrastive, 0.5 * expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(output.loss_distillation, 0.25 * distance, rtol=1e-5, atol=1e-6)
    total = output.loss_mae + output.loss_contrastive + output.loss_distillation
    torch.testing.assert_close(output.loss, total)


def test_same_masks_are_one_path() -> None:
    """A second path that sees what the first sees gives the losses of one path."""
    model = small_model(seed=4)
    fbank, frames = small_inputs(model.config)
    ids = [torch.rand(4, count, generator=torch.Generator().manual_seed(count)).argsort(dim=1) for count in (40, 9)]
    masks = {"ids_restore_audio": ids[0], "ids_restore_visual": ids[1]}
    one = model(fbank, frames, contrast_loss_weight=1.0, **masks)
    two = model(fbank, frames, contrast_loss_weight=1.0, contrast_path=ContrastPath(0.75, *ids), **masks)
    for found, expected in zip(two[:7], one[:7], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_drawn_masks_are_its_own() -> None:
    """The first path's masks are those of a run without a second one; the second draws others after them."""
    model = small_model(seed=4)
    fbank, frames = small_inputs(model.config)
    one = model(fbank, frames, generator=torch.Generator().manual_seed(7))
    two = model(fbank, frames, generator=torch.Generator().manual_seed(7), contrast_path=ContrastPath(0.75))
    assert torch.equal(one.loss_mae, two.loss_mae)
    assert torch.equal(one.mask_audio, two.mask_audio)
    assert not torch.equal(one.loss_contrastive, two.loss_contrastive)


def test_models_without_a_decoder_or_global_token() -> None:
    """Pairs of frames pass the teacher too; without a global token there is nothing to rank by."""
    model = small_model(seed=1, **PAIRS)
    fbank, frames = small_inputs(model.config)
    pairs = FramePairs(torch.stack([frames[:, :-1], frames[:, 1:]], dim=2).flatten(0, 1), torch.arange(12).view(4, 3))
    with torch.no_grad():
        found = teacher_of(model)(fbank, pairs)
        torch.testing.assert_close(found.visual, model.eval().encode_frames(frames).pooled)
    assert found.audio_priority is None
    assert found.visual_priority is None


def test_distillation_needs_targets() -> None:
    model = small_model()
    fbank, frames = small_inputs(model.config)
    with pytest.raises(ConfigError, match="needs targets"):
        model(fbank, frames, distil_loss_weight=1.0)


def test_published_size() -> None:
    """The teacher has the encoder's tensors, under their names, and no others."""
    with torch.device("meta"):
        teacher, model = TeacherEncoder(ModelConfig()), CAVMAESync(ModelConfig())
    own = {name for name in model.state_dict() if not name.startswith(("decoder", "mask_token"))}
    assert set(teacher.state_dict()) == own
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert small_config().has_decoder
