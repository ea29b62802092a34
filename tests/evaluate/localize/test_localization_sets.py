"""ADE20K_Sound, VGG-SS and generated masks are read as they are published, and damage is told."""

import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from generated_clips import make_clips
from localization_data import (
    BLUE_CLASS,
    HEIGHT,
    RED_CLASS,
    WIDTH,
    colour_encoder,
    hum,
    write_ade20k_sound,
    write_vgg_ss,
)
from PIL import Image
from synth_records import spec_of

from cavsync.data.clip_audio import LogMel
from cavsync.data.logmel import log_mel
from cavsync.data.synth import ClipSpec
from cavsync.data.synth.stage import open_scene
from cavsync.errors import ConfigError, DataError, MediaError
from cavsync.evaluate.localize.ade20k_sound import class_ids
from cavsync.evaluate.localize.case import TARGET_SIZE, covering_segments
from cavsync.evaluate.localize.data_sets import open_localization_set
from cavsync.evaluate.localize.image_files import nearest_center_crop
from cavsync.media.audio_file import read_audio
from cavsync.media.resample import ChannelRule


@pytest.fixture(scope="module")
def ade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ade20k_sound(tmp_path_factory.mktemp("ade"))


def test_ade20k_sound(ade: Path) -> None:
    """Rows without a sound are no sound prompts; masks are of the prompted class, centrally cropped."""
    data = open_localization_set(ade)
    encoder = colour_encoder()
    cases = [case for index in range(4) for case in data.load(index, encoder)]
    assert [case.category for case in cases] == [str(RED_CLASS), str(BLUE_CLASS)] * 2
    assert cases[0].tubelet.shape == (1, 48, 48, 3)
    left = (WIDTH - HEIGHT) / 2
    for number, case in enumerate(cases):
        rows, columns = np.nonzero(case.mask)
        scale = TARGET_SIZE / HEIGHT
        assert rows.min() == pytest.approx((10 + 5 * number) * scale, abs=2)
        assert columns.max() == pytest.approx((60 + 10 * number - left) * scale, abs=2)
        shown = case.shown[case.mask].mean(axis=0)
        assert int(shown.argmax()) == (0 if case.category == str(RED_CLASS) else 2)
    audio = log_mel(torch.from_numpy(read_audio(ade / "audio" / "sound_0.wav"))).numpy()
    assert cases[0].segments[0] == pytest.approx(audio[:60])
    assert cases[0].segments[-1] == pytest.approx(audio[-60:])
    assert len(data.files()) == 1 + 3 * 4


def test_ade_labels() -> None:
    """Tens of red count 256, green counts 1, blue (the instance) nothing."""
    colours = np.array([[[0, 5, 9], [20, 17, 1], [29, 17, 200]]], dtype=np.uint8)
    assert class_ids(colours).tolist() == [[5, 2 * 256 + 17, 2 * 256 + 17]]


@pytest.mark.parametrize(("height", "width"), [(90, 120), (120, 90), (224, 224), (51, 300)])
def test_nearest_crop_takes_whole_pixels(height: int, width: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (height, width)).astype(np.uint8)
    side = min(height, width)
    cropped = nearest_center_crop(picture, side)
    top, left = (height - side) // 2, (width - side) // 2
    if (height - side) % 2 == 0 and (width - side) % 2 == 0:
        assert (cropped == picture[top : top + side, left : left + side]).all()
    assert set(nearest_center_crop(picture, 224).ravel()) <= set(picture.ravel())


def test_damaged_ade_is_told(ade: Path, tmp_path: Path) -> None:
    (tmp_path / "prompted_segmentation.csv").write_text("image_location,ade_class_id\na.jpg,4\n")
    with pytest.raises(DataError, match="lacks the column vggsound_file"):
        open_localization_set(tmp_path)
    (tmp_path / "prompted_segmentation.csv").write_text("image_location,ade_class_id,vggsound_file\na.jpg,4,b.wav\n")
    with pytest.raises(MediaError, match="is missing"):
        open_localization_set(tmp_path).load(0, colour_encoder())
    (tmp_path / "prompted_segmentation.csv").write_text("image_location,ade_class_id,vggsound_file\n")
    with pytest.raises(DataError, match="no row"):
        open_localization_set(tmp_path)


def test_unusable_rows_of_ade_are_named(ade: Path, tmp_path: Path) -> None:
    """No class, a class that is no number, and rows that are too short: each is a reject, the rest is read."""
    (tmp_path / "frames").symlink_to(ade / "frames")
    (tmp_path / "annotations").symlink_to(ade / "annotations")
    (tmp_path / "audio").symlink_to(ade / "audio")
    rows = ["x,sound_0.wav,validation/scene_0.jpg", "0,sound_0.wav,validation/scene_0.jpg", f"{RED_CLASS},sound_0.wav",
            f"{RED_CLASS}", "inf,sound_0.wav,validation/scene_0.jpg",
            f"{RED_CLASS},sound_0.wav,validation/scene_0.jpg"]  # fmt: skip
    (tmp_path / "prompted_segmentation.csv").write_text(
        "\n".join(["ade_class_id,vggsound_file,image_location", *rows]) + "\n"
    )
    data = open_localization_set(tmp_path)
    assert len(data.sources) == len(rows)
    for index, reason in enumerate(
        ["not a number", r"no class \(0\)", "no image_location", "no image_location", "not a number"]
    ):
        with pytest.raises(MediaError, match=reason) as caught:
            data.load(index, colour_encoder())
        assert f"row {index + 1} of prompted_segmentation.csv" in str(caught.value)
    assert data.load(5, colour_encoder())[0].category == str(RED_CLASS)


def test_vgg_ss(tmp_path: Path) -> None:
    """Boxes are shares of the whole, squeezed picture; videos give their middle frame, else frames and audio do."""
    data = open_localization_set(write_vgg_ss(tmp_path), tmp_path)
    encoder = colour_encoder()
    video, still = data.load(0, encoder)[0], data.load(2, encoder)[0]
    assert video.mask.sum() == still.mask.sum() == TARGET_SIZE**2 / 4
    assert video.mask[-1, 0]
    assert still.mask[0, -1]
    assert int(video.shown[video.mask].mean(axis=0).argmax()) == 0
    assert int(still.shown[still.mask].mean(axis=0).argmax()) == 2
    audio = LogMel(log_mel(torch.from_numpy(read_audio(tmp_path / "clip0_000030.mp4"))).numpy())
    assert video.segments[0] == pytest.approx(audio.segments(np.array([69]), 60)[0], abs=0.3)
    with pytest.raises(MediaError, match=r"is missing|not readable audio"):
        data.load(3, encoder)
    with pytest.raises(MediaError, match="no box with an area"):
        data.load(4, encoder)
    needs_two = open_localization_set(tmp_path / "vggss.json", tmp_path, 2)
    two = needs_two.load(2, encoder)[0]
    assert set(np.unique(two.target)) == {0.0, 0.5, 1.0}
    # What one annotator has marked is no background.
    assert two.mask.sum() == TARGET_SIZE**2 / 4
    assert needs_two.load(0, encoder)[0].mask.any()
    assert (data.protocol["boxes_needed"], needs_two.protocol["boxes_needed"]) == (1, 2)


def test_channels(tmp_path: Path) -> None:
    """The first channel alone, or the mean of all, of videos and of audio files; the protocol of every set says so."""
    path = write_vgg_ss(tmp_path)
    rules: tuple[ChannelRule, ...] = ("mix", "first")
    left, right = hum(200.0), hum(3000.0)
    stereo = (np.stack([left, right], axis=1) * 32767).astype("<i2")
    with wave.open(str(tmp_path / "audio" / "still_000001.wav"), "wb") as out:
        out.setparams((2, 2, 16000, 0, "NONE", ""))
        out.writeframes(stereo.tobytes())
    with av.open(str(tmp_path / "clip0_000030.mp4")) as old, av.open(str(tmp_path / "clip0_000030.mkv"), "w") as new:
        video, audio = new.add_stream_from_template(old.streams.video[0]), new.add_stream("pcm_s16le", rate=16000)
        audio.layout = "stereo"
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = video
                new.mux(packet)
        frame = av.AudioFrame.from_ndarray(stereo.reshape(1, -1), "s16", "stereo")
        frame.sample_rate = 16000
        new.mux([*audio.encode(frame), *audio.encode(None)])
    (tmp_path / "clip0_000030.mp4").unlink()
    for index in (0, 2):
        found = {
            rule: open_localization_set(path, tmp_path, channels=rule).load(index, colour_encoder())[0].segments[0]
            for rule in rules
        }
        for rule, samples in zip(rules, ((left + right) / 2, left), strict=True):
            wanted = log_mel(torch.from_numpy(samples)).numpy()
            distances = [np.abs(wanted[at : at + 60] - found[rule]).mean() for at in range(len(wanted) - 59)]
            assert min(distances) < 0.1
        assert np.abs(found["mix"] - found["first"]).mean() > 1
    assert "by time" in str(open_localization_set(path, tmp_path).protocol["segments"])


def test_damaged_vgg_ss_is_told(tmp_path: Path) -> None:
    path = tmp_path / "vggss.json"
    for content in ("[", "{}", "[]", '[{"file": "a", "class": "b"}]', '{"a": [1]}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"not a VGG-SS annotation|lists no clip"):
            open_localization_set(path, tmp_path)
    path.write_text(
        json.dumps([{"file": "a", "class": "b", "bbox": [[0, 0, 1]]}, {"file": "a", "class": "b", "bbox": [3]}])
    )
    data = open_localization_set(path, tmp_path)
    for index in range(2):
        with pytest.raises(MediaError, match="correct the annotation"):
            data.load(index, colour_encoder())
    with pytest.raises(ConfigError, match="--media"):
        open_localization_set(path)


@pytest.mark.parametrize("offset_ms", [0.0, 300.0])
def test_generated_clips(offset_ms: float, tmp_path: Path) -> None:
    """The target of a frame are the objects that are loud in the segment around it, sample by sample, with the clip's
    own offset."""
    folder = make_clips(
        tmp_path / "clips", 3, families=["impacts", "keys", "drummer"], masks=4, max_offset_ms=offset_ms
    )
    data = open_localization_set(folder)
    assert folder / "truth.jsonl" in data.files()
    seen = 0
    for index, line in enumerate((folder / "truth.jsonl").read_text().splitlines()):
        record = json.loads(line)
        spec = spec_of(record)
        cases = {case.name: case for case in data.load(index, colour_encoder())}
        for frame in record["masks"]["frames"]:
            # A segment of 60 frames reaches 0.3 s to both sides; at the ends of the clip it is pushed inside.
            offset = record["audio_offset_ms"] / 1000
            start = min(max(frame["time_seconds"] - offset - 0.3, 0), 2.0 - 0.61) + offset
            energy = _energy(spec, start, start + 0.6)
            loudest = max(energy.values())
            # Away from the limit of a tenth, where steps of 0.05 s and samples may disagree.
            if any(0.04 < value / loudest < 0.25 for value in energy.values()):
                continue
            with Image.open(folder / frame["file"]) as image:
                owners = nearest_center_crop(np.asarray(image), TARGET_SIZE)
            heard = {name for name, value in energy.items() if value >= 0.1 * loudest}
            values = [place + 1 for place, name in enumerate(record["masks"]["objects"]) if name in heard]
            expected = np.isin(owners, values)
            case = cases.get(f"{record['file']}#{frame['frame']}")
            assert (case is None) == (not expected.any())
            if case is not None:
                assert (case.mask == expected).all()
                seen += 1
    assert seen >= 3


def _energy(spec: ClipSpec, start_seconds: float, stop_seconds: float) -> dict[str, float]:
    """Energy of each thing's sounds between two moments of the picture."""
    total: dict[str, float] = {}
    for audio in open_scene(spec).sounds:
        times = audio.time_seconds + np.arange(len(audio.samples)) / spec.audio_rate_hz
        inside = (times >= start_seconds) & (times < stop_seconds)
        total[audio.label] = total.get(audio.label, 0.0) + float((audio.samples[inside] ** 2).sum())
    return total


def test_incomplete_truth_is_told(tmp_path: Path) -> None:
    folder = make_clips(tmp_path / "clips", 1, masks=1)
    record = json.loads((folder / "truth.jsonl").read_text())
    del record["masks"]["energy"]
    (folder / "truth.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match="generate it again"):
        open_localization_set(folder)


def test_clips_without_masks_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--masks"):
        open_localization_set(make_clips(tmp_path / "clips", 1))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--only-overlays"):
        open_localization_set(tmp_path / "empty")


def test_segments_cover_a_sound() -> None:
    audio = LogMel(np.arange(130, dtype=np.float32)[:, None].repeat(128, axis=1))
    first = covering_segments(audio, 60)[:, 0, 0]
    assert first.tolist() == [0, 30, 60, 70]
    short = covering_segments(LogMel(np.ones((20, 128), dtype=np.float32)), 60)
    assert short.shape == (1, 60, 128)
    assert short[0, :20].all()
    assert not short[0, 20:].any()
