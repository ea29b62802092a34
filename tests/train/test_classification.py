"""Fine-tuning and probing: the numbers of a loop written by hand, exact resuming, bad labels refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import small_config, small_model

from cavsync.data.labels import read_folder_labels
from cavsync.data.sources.classes import ClassLabels, ClipClasses
from cavsync.errors import CheckpointError, ConfigError, DataError
from cavsync.model.checkpoint import model_of, save_model
from cavsync.model.classifier import CAVMAEFT
from cavsync.model.load import initialise_from, load_any
from cavsync.run import Run
from cavsync.train import Trainer, override, preset
from cavsync.train.averaging import average_checkpoints, write_average
from cavsync.train.data import RunData
from cavsync.train.ranks import Ranks
from cavsync.train.split import RunPaths
from cavsync.train.tasks.classification import Classification
from cavsync.train.tasks.starting_model import with_starting_model

QUICK: dict[str, Any] = {
    "workers": 0,
    "precision": "32-true",
    "accelerator": "cpu",
    "batch_clips": 3,
    "max_steps": 3,
    "log_every_steps": 1,
    "held_out_share": 0.25,
    "cache_clips": False,
}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A pretrained run of the smallest kind."""
    save_model(small_model(seed=4), tmp_path / "start", 0)
    return tmp_path / "start"


@pytest.fixture
def families(tmp_path: Path) -> Path:
    """The vocabulary of the generated families: one class per clip."""
    rows = "".join(f"{n},/f/{n},{name}\n" for n, name in enumerate(("impacts", "drummer", "keys", "face")))
    path = tmp_path / "families.csv"
    path.write_text("index,mid,display_name\n" + rows)
    return path


def trainer(run_dir: Path, start: Path, name: str = "finetune-vggsound", **values: Any) -> Trainer:
    """A short run of a fine-tuning preset from `start`."""
    values = QUICK | {"init_from": str(start)} | values
    return Trainer(*override(*with_starting_model(preset(name), values, run_dir), values), run_dir)


def single(families: Path) -> dict[str, Any]:
    """Options for one class per clip."""
    return {"class_labels": str(families), "ignore_other_labels": True}


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """The last step's weights, not their average."""
    return model_of(Run.open(run_dir).at(None), averaged=False).state_dict()


def test_a_run_starts_from_any_step_of_another(start: Path, tmp_path: Path) -> None:
    """Fine-tuning and pretraining alike take RUN/checkpoints/step-N; the last step is that of the RUN."""
    save_model(small_model(seed=5), start, 3)
    for path, seed in ((start / "checkpoints" / "step-0", 4), (start, 5)):
        run = trainer(tmp_path / "run", path)
        classes = ClipClasses(ClassLabels.of_names("abcd"), ())
        assert run.config.classify is not None
        tuned = CAVMAEFT(run.model_config, 4)
        Classification(run.model_config, run.config, run.config.classify, classes).initialise(tuned)
        pretrained = small_model(seed=6)
        initialise_from(pretrained, path)
        for model in (tuned, pretrained):
            found, wanted = (each.state_dict()["patch_embed_a.proj.weight"] for each in (model, small_model(seed=seed)))
            assert torch.equal(found, wanted)


def test_another_audio_length(start: Path) -> None:
    """A classifier takes a longer segment than its start: positions are stretched, time masks too, the rest is
    copied."""
    run = trainer(start.parent / "longer", start, audio_length=160)
    assert run.config.classify is not None
    tuned = CAVMAEFT(run.model_config, 4)
    classes = ClipClasses(ClassLabels.of_names("abcd"), ())
    Classification(run.model_config, run.config, run.config.classify, classes).initialise(tuned)
    assert run.config.augmentation.time_mask_frames == round(192 * 160 / 1024)
    source = small_model(seed=4).state_dict()
    state = tuned.state_dict()
    assert state["pos_embed_a"].shape == (1, 80, 32)
    assert all(torch.equal(state[name], source[name]) for name in source if name in state and name != "pos_embed_a")


@pytest.mark.parametrize("target", ["single-label", "multi-label"])
def test_equal_to_a_loop_by_hand(target: str, clips: Path, start: Path, families: Path, tmp_path: Path) -> None:
    """Three steps with mixup, SpecAugment, smoothing, balanced sampling and a faster head: the same weights as Adam on
    a loss that is written out, on the batches of the same seed."""
    options = single(families) if target == "single-label" else {}
    run = trainer(tmp_path / "run", start, target=target, head_rate_factor=7.0, mixup=0.9, **options)
    run.run(clips)

    train = run.config
    data = RunData.open(RunPaths((clips,)), run.model_config, train, Ranks())
    labels = (tmp_path / "run" / "class_labels.csv").read_text().splitlines()[1:]
    place = {row.split(",")[2]: int(row.split(",")[0]) for row in labels}
    classes_of = {str(clips / file): names for file, names in read_folder_labels(clips).items()}
    torch.manual_seed(train.seed)
    model = CAVMAEFT(run.model_config, len(place))
    source = small_model(seed=4).state_dict()
    own = model.state_dict()
    model.load_state_dict({name: own[name] if name.startswith("mlp_head") else source[name] for name in own})
    head = [p for name, p in model.named_parameters() if name.startswith("mlp_head")]
    body = [p for name, p in model.named_parameters() if not name.startswith("mlp_head") and p.requires_grad]
    adam = torch.optim.Adam(
        [{"params": body, "lr": 1e-4}, {"params": head, "lr": 7e-4}], betas=(0.95, 0.999), weight_decay=5e-7
    )
    mixed = 0
    for batch in data.training_batches(0, 3):
        wanted = torch.full((len(batch), len(place)), 0.1 / len(place))
        for row, content in enumerate(batch.contents):
            mixed += len(content) == 2
            for index, share in content:
                for name in classes_of[data.dataset.source.names[index]]:
                    if name in place:
                        wanted[row, place[name]] += 0.9 * share
        logits = model(batch.normalised_features(torch.device("cpu")), batch.normalised_frames(torch.device("cpu")))
        if target == "single-label":
            loss = -(wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()
        else:
            chance = logits.sigmoid()
            loss = -(wanted * chance.log() + (1 - wanted) * (1 - chance).log()).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert mixed > 0
    found = weights(tmp_path / "run")
    for name, value in model.state_dict().items():
        kept = torch.ones(len(value.flatten()), dtype=torch.bool)
        if name.endswith("qkv.bias"):
            # A key's bias changes no softmax: its gradient is rounding, which Adam blows up to a step.
            kept = torch.arange(96) // 32 != 1
        torch.testing.assert_close(found[name].flatten()[kept], value.flatten()[kept], rtol=1e-3, atol=2e-6)


def test_resume_is_exact_with_the_average_of_epochs(clips: Path, start: Path, tmp_path: Path) -> None:
    """Four epochs of two steps, cut after three steps: the same weights and average as in one go, and the average is
    that of the checkpoints at the ends of epochs 2 to 4."""
    steps = {"max_steps": 8, "average_from_epoch": 2, "checkpoint_every_steps": 1, "keep_checkpoints": 9}
    for name, stops in (("whole", (8,)), ("parts", (3, 8))):
        for number, stop in enumerate(stops):
            trainer(tmp_path / name, start, "finetune-audioset-20k", **steps | {"max_steps": stop}).run(
                clips, resume=number > 0
            )
    whole, parts = (load_any(tmp_path / name).state_dict() for name in ("whole", "parts"))
    expected = average_checkpoints(tmp_path / "whole", [4, 6, 8])
    latest = weights(tmp_path / "whole")
    assert any(not torch.equal(whole[name], latest[name]) for name in whole)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)


def test_a_run_leaves_what_a_classifier_needs(clips: Path, start: Path, families: Path, tmp_path: Path) -> None:
    """Classes, head and metrics; another vocabulary cannot resume it; an average of its steps has them too."""
    result = trainer(tmp_path / "run", start, head="attention", **single(families)).run(clips)
    assert {"held_out_loss", "held_out_accuracy", "accuracy", "loss"} <= set(result.metrics)
    assert (tmp_path / "run" / "class_labels.csv").read_text() == families.read_text()
    assert Run.open(tmp_path / "run").config.head == "attention"
    families.write_text(families.read_text().replace("keys", "piano"))
    with pytest.raises((CheckpointError, DataError), match=r"other (classes|clips)"):
        trainer(tmp_path / "run", start, head="attention", max_steps=4, **single(families)).run(clips, resume=True)
    write_average(tmp_path / "run", [3], tmp_path / "average")
    assert load_any(tmp_path / "average").head == "attention"
    assert (tmp_path / "average" / "class_labels.csv").is_file()


def test_going_on_needs_no_start(clips: Path, start: Path, tmp_path: Path) -> None:
    """Sizes are the run's own then."""
    trainer(tmp_path / "run", start, max_steps=1, target="multi-label").run(clips)
    start.rename(tmp_path / "moved")
    for steps, options in ((2, {}), (3, {"init_from": None})):
        again = trainer(tmp_path / "run", start, target="multi-label", max_steps=steps, **options)
        assert again.run(clips, resume=True).state.step == steps


@pytest.mark.parametrize(
    ("mode", "head"),
    [("multimodal", "attention"), *((mode, "") for mode in ("multimodal", "audio-only", "visual-only"))],
)
def test_a_probe_leaves_the_encoder_alone(mode: str, head: str, clips: Path, start: Path, tmp_path: Path) -> None:
    """Every encoder tensor is the start's, to the bit; every tensor of the head that gets a gradient has moved."""
    options = {"head": head} if head else {}
    trainer(tmp_path / "run", start, "probe", mode=mode, instants_per_clip=3, **options).run(clips)
    found, source = weights(tmp_path / "run"), small_model(seed=4).state_dict()
    assert all(torch.equal(value, source[name]) for name, value in found.items() if name in source)
    kind = head or ("self_attention_cls" if mode == "multimodal" else "self_attention_cls_single")
    assert Run.open(tmp_path / "run").config.head == kind
    torch.manual_seed(0)
    last = "mlp_head.1.bias" if head else "classifier_head.bias"
    fresh = CAVMAEFT(small_config(), len(found[last]), kind).state_dict()
    moved = {name for name in found if name not in source and not torch.equal(found[name], fresh[name])}
    # The blocks use one of their three sets of norms.
    unused = {name for name in found if name.startswith("classifier_layers") and ("_a." in name or "_v." in name)}
    assert moved == {name for name in found if name not in source} - unused


def test_the_probe_takes_clips(clips: Path, start: Path, families: Path, tmp_path: Path) -> None:
    """Two steps of three frames per clip: the weights of a loop that gives the head the frames of each clip."""
    run = trainer(tmp_path / "run", start, "probe", instants_per_clip=3, max_steps=2, target="single-label",
                  schedule="halving", **single(families))  # fmt: skip
    run.run(clips)
    data = RunData.open(RunPaths((clips,)), run.model_config, run.config, Ranks())
    labels = {str(clips / file): names for file, names in read_folder_labels(clips).items()}
    place = {"impacts": 0, "drummer": 1, "keys": 2, "face": 3}
    torch.manual_seed(run.config.seed)
    model = CAVMAEFT(run.model_config, 4, "self_attention_cls")
    own, source = model.state_dict(), small_model(seed=4).state_dict()
    model.load_state_dict({name: source.get(name, value) for name, value in own.items()})
    first = {name: value.clone() for name, value in model.state_dict().items()}
    head = [parameter for name, parameter in model.named_parameters() if name.startswith(("cls_cls", "classifier_"))]
    decayed = [{"params": [p for p in head if p.ndim > 1], "weight_decay": 0.01},
               {"params": [p for p in head if p.ndim <= 1], "weight_decay": 0.0}]  # fmt: skip
    adam = torch.optim.AdamW(decayed, lr=1e-3, betas=(0.9, 0.999))
    for batch in data.training_batches(0, 2):
        wanted = []
        for content in batch.contents:
            names = labels[data.dataset.source.names[content[0][0]]]
            wanted.append(next(place[name] for name in names if name in place))
        assert batch.clip_index.tolist() == [clip for clip in range(len(wanted)) for _ in range(3)]
        fbank, frames = batch.normalised_features(torch.device("cpu")), batch.normalised_frames(torch.device("cpu"))
        rows = [
            model(fbank[3 * i : 3 * i + 3], frames[3 * i : 3 * i + 3], frames_per_clip=3) for i in range(len(wanted))
        ]
        loss = torch.nn.functional.cross_entropy(torch.cat(rows), torch.tensor(wanted))
        adam.zero_grad()
        loss.backward()
        adam.step()
    found = weights(tmp_path / "run")
    # Adam blows up gradients that are rounding, as those of a key's bias, to steps of their own.
    for name, value in model.state_dict().items():
        if not name.endswith("qkv.bias"):
            assert (found[name] - value).norm() <= 0.1 * (value - first[name]).norm(), name


def test_what_cannot_be_trained_is_refused(clips: Path, start: Path, families: Path, tmp_path: Path) -> None:
    """Each with a sentence, before a folder is made."""
    run_dir = tmp_path / "run"
    with pytest.raises(DataError, match=r"has the label '.*', which is not in the vocabulary"):
        trainer(run_dir, start, class_labels=str(families)).run(clips)
    with pytest.raises(DataError, match=r"has \d+ classes .* single-label training expects one"):
        trainer(run_dir, start).run(clips)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "clip.mp4").symlink_to(next(clips.glob("*.mp4")))
    with pytest.raises(DataError, match=r"No clip has a label.*labels\.csv"):
        trainer(run_dir, start).run(tmp_path / "empty")
    with pytest.raises(ConfigError, match="learned nothing: pass --set init_from"):
        with_starting_model(preset("probe"), QUICK, run_dir)
    with pytest.raises(ConfigError, match="learned nothing: pass --set init_from"):
        trainer(tmp_path / "untrained", start, "probe", init_from=None)
    small = QUICK | small_config().model_dump(exclude={"has_decoder"})
    with pytest.raises(ConfigError, match="learned nothing: pass --set init_from"):
        Trainer(*override(*preset("probe"), small), tmp_path / "untrained").run(clips)
    with pytest.raises(CheckpointError, match="another configuration"):
        trainer(tmp_path / "other", start, max_pooling=True, cls_token=False, target="multi-label").run(clips)
    with pytest.raises(CheckpointError, match=r"'absent', which the run starts from, does not exist.*init_from"):
        trainer(run_dir, Path("absent"))
    with pytest.raises(ConfigError, match="drop one"):
        trainer(run_dir, start, ema_decay=0.9)
    with pytest.raises(ConfigError, match="Unknown option 'head'"):
        override(*preset("debug"), {"head": "linear"})
    assert not (run_dir / "checkpoints").exists()


def test_clips_without_a_class_are_counted(clips: Path, start: Path, families: Path, tmp_path: Path) -> None:
    """They are rejects, not examples of nothing."""
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    files = sorted(clips.glob("*.mp4"))
    for file in files:
        (mixed / file.name).symlink_to(file)
    lines = (clips / "labels.csv").read_text().splitlines()
    (mixed / "labels.csv").write_text("\n".join(line for line in lines if not line.startswith(files[0].name)) + "\n")
    result = trainer(tmp_path / "run", start, max_rejected_share=0.2, **single(families)).run(mixed)
    assert result.metrics["rejected_clips"] == 1
    with pytest.raises(DataError, match=r"1 of 8 clips cannot be used \(\{'label': 1\}\)"):
        trainer(tmp_path / "run2", start, max_rejected_share=0.1, **single(families)).run(mixed)


def test_stretches_follow_the_length_of_the_audio(start: Path, tmp_path: Path) -> None:
    """SpecAugment's 192 of 1,024 frames and the shift of a whole audio, for the 80 frames of the start."""
    augmentation = trainer(tmp_path / "run", start).config.augmentation
    assert (augmentation.time_mask_frames, augmentation.time_shift_frames) == (15, 80)
    assert trainer(tmp_path / "run", start, time_mask_frames=7).config.augmentation.time_mask_frames == 7


def test_published_recipes() -> None:
    """Rates, batches, epochs and averages of the authors' scripts."""
    found = {}
    for name in ("finetune-audioset-20k", "finetune-audioset-2m", "finetune-vggsound"):
        train = preset(name)[1]
        options = train.classify
        assert options is not None
        assert json.loads(options.model_dump_json())["label_smoothing"] == 0.1
        assert (train.augmentation.mixup, train.augmentation.frequency_mask_bins) == (0.5, 48)
        steps = (train.batch_clips, train.epochs, train.halve_from_epoch, train.average_from_epoch)
        found[name] = (train.learning_rate, options.head_rate_factor, *steps, options.balanced_sampling, options.target)
    assert found == {
        "finetune-audioset-20k": (5e-5, 100.0, 36, 15, 6, 3, False, "multi-label"),
        "finetune-audioset-2m": (1e-5, 50.0, 48, 10, 3, 1, True, "multi-label"),
        "finetune-vggsound": (1e-4, 10.0, 48, 10, 3, 3, True, "single-label"),
    }
