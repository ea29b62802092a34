"""Object masks: they lie where the frame changes when the object is left out, and are written and replaced whole."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from generated_clips import make_clips
from PIL import Image
from synth_records import spec_of

from cavsync.data.synth import ClipSpec, draw_specs, generate, render
from cavsync.data.synth.drummer import Drummer
from cavsync.data.synth.impacts import Impacts
from cavsync.data.synth.keys import KEY_COLOURS, Keys
from cavsync.data.synth.masks import mask_frames, object_energy, render_masks, sounding_object
from cavsync.errors import DataError


def test_masks_hold_the_object_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels of the bell are those that change when only the bell's colour does (it is in front of all that is
    still; mallets and passers-by hide parts of it in both)."""
    spec = next(s for s in _impacts() if "metal" in {thing.material for thing in Impacts(s).things})
    index = 7
    mask = render_masks(spec, [index])[0]
    owned = mask.owners == mask.names.index("metal") + 1
    before = [frame for _, frame in render(spec).frames][index]
    monkeypatch.setitem(__import__("cavsync.data.synth.impacts", fromlist=["COLOURS"]).COLOURS, "metal", (20, 250, 250))
    after = [frame for _, frame in render(spec).frames][index]
    changed = np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 60
    assert owned.sum() > 200
    assert (changed & owned).sum() / (changed | owned).sum() > 0.9


def _impacts() -> list[ClipSpec]:
    return [
        ClipSpec(seed, "impacts", duration_seconds=1.0, fps=Fraction(10), width=160, height=120) for seed in range(9)
    ]


def test_masks_do_not_change_the_picture() -> None:
    """A lit key's mask has the key's colour in the clip, shaken camera and all."""
    spec = ClipSpec(4, "keys", duration_seconds=2.0, fps=Fraction(10), width=128, height=128, clutter=0.4)
    notes = [n for n in Keys(spec).notes if 0.1 < n.time_seconds < 1.6]
    index = int(np.ceil(notes[0].time_seconds * 10))
    mask = render_masks(spec, [index])[0]
    inside = mask.owners == mask.names.index(f"key-{notes[0].key}") + 1
    frame = [p for _, p in render(spec).frames][index]
    wanted = np.array(KEY_COLOURS[notes[0].key])
    distance = np.linalg.norm(frame[inside].astype(float) - wanted, axis=1)
    assert np.median(distance) < 0.6 * np.median(np.linalg.norm(frame[~inside].astype(float) - wanted, axis=1))


@pytest.mark.parametrize("family", ["impacts", "drummer", "keys", "face"])
def test_every_sound_has_an_object(family: str) -> None:
    spec = ClipSpec(5, family, duration_seconds=2.0, width=128, height=96, fps=Fraction(12))
    clip = render(spec)
    masks = render_masks(spec, mask_frames(spec, 4))
    names = set(masks[0].names)
    assert {sounding_object(family, label) for label in clip.labels} <= names
    assert clip.labels
    for mask in masks:
        assert mask.owners.shape == (96, 128)
        assert set(np.unique(mask.owners)) <= set(range(len(mask.names) + 1))
        assert 0.02 < (mask.owners > 0).mean() < 0.9


def test_objects_keep_their_names_over_the_frames() -> None:
    """A pixel value means the same object in every frame of a clip, also where an object is hidden at first."""
    spec = ClipSpec(3, "drummer", duration_seconds=1.0, width=128, height=96)
    masks = render_masks(spec, [0, 9, 20])
    assert {mask.names for mask in masks} == {masks[0].names}
    assert set(masks[0].names) == set(Drummer(spec).pieces)


def test_mask_frames_are_spread() -> None:
    spec = ClipSpec(1, "keys", duration_seconds=2.0, fps=Fraction(25))
    assert mask_frames(spec, 1) == [25]
    assert mask_frames(spec, 5) == [5, 15, 25, 35, 45]
    assert mask_frames(spec, 0) == []
    assert mask_frames(spec, 500) == list(range(50))


def test_a_static_clip_has_one_mask() -> None:
    spec = ClipSpec(1, "impacts", duration_seconds=1.0, width=96, height=96, static=True)
    first, last = render_masks(spec, [0, 20])
    assert (first.owners == last.owners).all()


def test_energy_is_that_of_the_sound() -> None:
    """Without background, the objects' energies add up to the clip's, step by step: strokes seldom overlap in phase."""
    spec = ClipSpec(2, "drummer", duration_seconds=2.0, width=64, height=64, clutter=0.0)
    steps = np.sum(list(object_energy(spec).values()), axis=0)
    audio = render(spec).audio[:, 0].astype(np.float64)
    heard = np.square(audio).reshape(len(steps), -1).sum(axis=1) / spec.audio_rate_hz
    assert np.corrcoef(steps, heard)[0, 1] > 0.95
    assert object_energy(ClipSpec(2, "drummer", silent=True)) == {}
    assert set(object_energy(ClipSpec(3, "face", width=64, height=64))) == {"face"}


def test_files_and_truth(tmp_path: Path) -> None:
    """PNG values count the clip's objects; the same call again writes nothing, another number of masks replaces all."""
    folder = make_clips(tmp_path / "clips", 2, families=["impacts", "keys"], masks=3)
    records = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    for record in records:
        spec = spec_of(record)
        frames = record["masks"]["frames"]
        assert [frame["frame"] for frame in frames] == mask_frames(spec, 3)
        exact = render_masks(spec, mask_frames(spec, 3))
        assert record["masks"]["objects"] == list(exact[0].names)
        for frame, mask in zip(frames, exact, strict=True):
            with Image.open(folder / frame["file"]) as image:
                assert (np.asarray(image) == mask.owners).all()
            assert frame["time_seconds"] == pytest.approx(frame["frame"] / float(spec.fps))
    written = (folder / records[0]["file"]).stat().st_mtime_ns
    make_clips(folder, 2, families=["impacts", "keys"], masks=3)
    assert (folder / records[0]["file"]).stat().st_mtime_ns == written
    with pytest.raises(DataError, match="something other than this set"):
        make_clips(folder, 2, families=["impacts", "keys"])
    specs = draw_specs(2, 5, families=["impacts", "keys"], duration_seconds=2.0, plain=True, speech="synthetic")
    generate(folder, specs, workers=1, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("00000-impacts.mp4", "00001-keys.mp4", "labels.csv", "truth.jsonl"),
    ]
