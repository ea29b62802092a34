"""Classes of clips: vocabularies, targets, and weights that draw all classes alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cavsync.data.labels import folder_labels_text, read_folder_labels
from cavsync.data.order import PlannedBatches
from cavsync.data.sources.classes import ClassLabels, ClipClasses
from cavsync.data.sources.video_folder import VideoFolder
from cavsync.errors import DataError

LABELS = ClassLabels.of_names(["dog", "bird", "cat"])


def source(*labels: tuple[str, ...]) -> VideoFolder:
    """Clips with these labels, none of which is ever opened."""
    names = [f"{number}.mp4" for number in range(len(labels))]
    return VideoFolder(names, dict(zip(names, labels, strict=True)))


def write(path: Path, *rows: str) -> Path:
    """A vocabulary with these rows."""
    path.write_text("\n".join(("index,mid,display_name", *rows)) + "\n")
    return path


def test_vocabulary_is_read_by_index_and_found_by_both_names(tmp_path: Path) -> None:
    labels = ClassLabels.read(write(tmp_path / "v.csv", '1,/m/1,"male speech, man speaking"', "0,/m/0,dog"))
    assert labels.display_names == ["dog", "male speech, man speaking"]
    assert labels.index_of == {"dog": 0, "/m/0": 0, "male speech, man speaking": 1, "/m/1": 1}
    labels.write(tmp_path / "class_labels.csv")
    assert ClassLabels.read(tmp_path / "class_labels.csv") == labels


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ((), "from 0 on"),
        (("1,a,a",), "from 0 on"),
        (("0,a,a", "0,b,b"), "from 0 on"),
        (("0,a,dog", "1,b,dog"), "'dog' to two classes"),
        (("0,a",), "not a label vocabulary"),
    ],
)
def test_vocabularies_that_would_mix_classes_up_are_refused(rows: tuple[str, ...], match: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=match):
        ClassLabels.read(write(tmp_path / "v.csv", *rows))


def test_targets_are_shared_and_smoothed() -> None:
    """Alone, mixed with a clip of other classes, and with one of the same class."""
    classes = ClipClasses.of(source(("dog",), ("cat", "bird"), ("dog",)), LABELS, "multi-label")
    contents = [((0, 1.0),), ((0, 0.7), (1, 0.3)), ((0, 0.4), (2, 0.6))]
    hard = classes.targets(contents)
    torch.testing.assert_close(hard, torch.tensor([[0.0, 0.0, 1.0], [0.3, 0.3, 0.7], [0.0, 0.0, 1.0]]))
    torch.testing.assert_close(classes.targets(contents, 0.3), 0.7 * hard + 0.1)


def test_labels_twice_and_by_both_names_count_once(tmp_path: Path) -> None:
    labels = ClassLabels.read(write(tmp_path / "v.csv", "0,/m/0,dog", "1,/m/1,cat"))
    assert ClipClasses.of(
        source(
            ("dog", "/m/0", "dog"),
        ),
        labels,
        "single-label",
    ).of_clip == ((0,),)


@given(st.lists(st.sets(st.integers(0, 2)), min_size=1, max_size=12).filter(any))
def test_weights_are_the_sum_of_inverse_counts(sets: list[set[int]]) -> None:
    names = LABELS.display_names
    classes = ClipClasses.of(source(*(tuple(names[c] for c in one) for one in sets)), LABELS, "multi-label")
    counts = [sum(c in one for one in sets) for c in range(3)]
    expected = np.array([sum(1 / counts[c] for c in one) for one in sets])
    np.testing.assert_allclose(classes.sampling_weights(range(len(sets))), expected / expected.sum())


def test_balanced_epochs_see_rare_classes_as_often_and_resume_exactly() -> None:
    """One clip in twenty has the rare class, and is half of what is drawn; every visit has a draw of its own."""
    clips, weights = list(range(100, 140)), np.array([0.25, 0.25] + [0.5 / 38] * 38)
    plan = {"clips": clips, "batch_clips": 8, "seed": 3, "weights": weights}
    batches = list(PlannedBatches(**plan, first_step=0, num_steps=400))  # type: ignore[arg-type]
    draws = [draw for batch in batches for draw in batch]
    assert len(set(draws)) == len(draws)
    share = np.mean([clip < 102 for clip, _ in draws])
    assert share == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / len(draws)))
    assert {clip for clip, _ in draws} == set(clips)
    later = list(PlannedBatches(**plan, first_step=123, num_steps=130))  # type: ignore[arg-type]
    assert later == batches[123:130]
    mine = [list(PlannedBatches(**plan, first_step=7, num_steps=9, rank=rank, num_ranks=2)) for rank in range(2)]  # type: ignore[arg-type]
    assert [one + two for one, two in zip(*mine, strict=True)] == batches[7:9]


def test_folder_labels_come_back(tmp_path: Path) -> None:
    labels = {"a.mp4": ("dog", 'say "x", y'), "b/c.mp4": ("cat",), "none.mp4": ()}
    (tmp_path / "labels.csv").write_text(folder_labels_text(labels))
    assert read_folder_labels(tmp_path) == labels
    for content, match in (("name,label\n", "first line"), ("file,labels\na,x\na,y\n", "twice")):
        (tmp_path / "labels.csv").write_text(content)
        with pytest.raises(DataError, match=match):
            read_folder_labels(tmp_path)
