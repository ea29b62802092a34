"""Where a sound belongs in a video: against sums by brute force, and with a bundle that measures light and loudness."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_bundle import write_fake_bundle
from sync_clips import make_audio, make_frames, write_clip

from cavsync.cli.main import main
from cavsync.cli.media.locate import clock
from cavsync.data.synth import draw_specs, render
from cavsync.deploy.files.locate import SlidingSum
from cavsync.deploy.files.placement import MAX_COMPARED, chance, peaks, placed
from cavsync.media import MediaReader, VideoFrame
from cavsync.media.audio_file import write_pcm16
from cavsync.media.video_file import FrameReader

SECONDS, SOUND_SECONDS = 150.0, 15.0


def locate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["locate", *map(str, arguments)])


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_bundle(tmp_path_factory.mktemp("meter"))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minutes without any audio track."""
    return write_clip(tmp_path_factory.mktemp("video") / "long.mkv", seconds=SECONDS, tracks=("video",))


def write_sound(path: Path, start_seconds: float, seconds: float, seed: int = 0) -> Path:
    """The sound that belongs to the video from a time on."""
    with path.open("wb") as stream:
        write_pcm16(stream, make_audio(start_seconds, round(16_000 * seconds), seed=seed))
    return path


def test_sums_against_brute_force() -> None:
    """Irregular frames; every place pairs each frame with the sound at its moment, between two embeddings."""
    random = np.random.default_rng(2)
    sound = random.normal(size=(7, 4)).astype(np.float32)
    times = np.cumsum(random.uniform(0.02, 0.09, 300))
    frames = random.normal(size=(300, 4)).astype(np.float32)
    sums = SlidingSum(sound, 0.055, 0.04)
    for moment, frame in zip(times, frames, strict=True):
        sums.push(float(moment), frame)
    seconds, scores = sums.curve(0.5)
    similarity = (frames @ sound.T).astype(np.float64)
    assert len(seconds) > 200
    checked = 0
    for place, score in zip(seconds, scores, strict=True):
        moments = (times - place - 0.055) / 0.04
        inside = (moments > 1e-3) & (moments < 6 - 1e-3)
        if np.abs(moments[np.abs(moments - 3) < 4] % 1).min(initial=1) < 1e-3:
            continue
        rows = [
            np.interp(moment, np.arange(7), row)
            for moment, row in zip(moments[inside], similarity[inside], strict=True)
        ]
        assert score == pytest.approx(np.mean(rows), rel=1e-4, abs=1e-5)
        checked += 1
    assert checked > 150


def test_chance_is_what_it_says() -> None:
    """Of values with an exponential tail one in a hundred stands out as far; of normal ones no more."""
    random = np.random.default_rng(0)
    for draw, most in ((random.exponential, 0.014), (random.normal, 0.014)):
        values = -np.sort(-draw(size=(4000, 200)), axis=1)[:, : MAX_COMPARED + 3]
        found = np.array([chance(list(row)) for row in values])
        assert (found < 0.01).mean() < most
        assert (found < 0.5).mean() > 0.3
    assert chance([9.0, *np.linspace(2.0, 1.0, MAX_COMPARED + 2)]) < 1e-3


def test_places_are_peaks() -> None:
    """Apart from each other, refined between the steps; thin evidence is undetermined with its reason."""
    seconds = np.arange(0, 40, 0.04)
    random = np.random.default_rng(1)
    scores = random.normal(size=len(seconds)) + 12 * np.exp(-0.5 * ((seconds - 17.013) / 0.06) ** 2)
    smooth = 12 * np.exp(-0.5 * ((seconds - 17.013) / 0.06) ** 2)
    (top,) = peaks(seconds, smooth, 1)
    assert top.video_seconds == pytest.approx(17.013, abs=0.005)
    found = placed(seconds, scores, 3)
    assert (found.state, len(found.places), found.reason) == ("found", 3, None)
    assert found.places[0].video_seconds == pytest.approx(17.0, abs=0.06)
    gaps = np.diff(sorted(place.video_seconds for place in peaks(seconds, scores, 12)))
    assert gaps.min() >= 0.5 - 0.04
    for part, reason in (
        (slice(430, 500), "places to compare"),
        (slice(0, 400), "other places fit nearly as well"),
        (slice(420, 430), "hardly longer than the sound"),
    ):
        doubted = placed(seconds[part], scores[part], 3)
        assert doubted.state == "undetermined"
        assert reason in str(doubted.reason)


@pytest.mark.parametrize("start_seconds", [0.0, 63.47, SECONDS - SOUND_SECONDS])
def test_a_sound_is_found(start_seconds: float, meter: Path, video: Path, tmp_path: Path) -> None:
    """To a hundredth of a second, also at both ends of the video."""
    sound = write_sound(tmp_path / "sound.wav", start_seconds, SOUND_SECONDS)
    result = locate(sound, video, "--bundle", meter, "--json", tmp_path / "out.json", "--top", 2)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["state"], found["bundle"], len(found["places"])) == ("found", "light and loudness meter", 2)
    assert found["places"][0]["video_seconds"] == pytest.approx(start_seconds, abs=0.01)
    assert found["confidence"] > 0.99
    assert f"{sound} begins at {clock(found['places'][0]['video_seconds'])} of {video}" in result.output


def test_what_does_not_belong_is_undetermined(meter: Path, video: Path, tmp_path: Path) -> None:
    """Another scene's sound, silence, and a video that repeats itself."""
    foreign = locate(write_sound(tmp_path / "foreign.wav", 10.0, SOUND_SECONDS, seed=9), video, "--bundle", meter)
    assert (foreign.exit_code, foreign.output[:13]) == (0, "undetermined:")
    with (tmp_path / "silent.wav").open("wb") as stream:
        write_pcm16(stream, np.zeros(64_000, np.float32))
    assert "undetermined: the sound is silent" in locate(tmp_path / "silent.wav", video, "--bundle", meter).output
    brief = locate(write_sound(tmp_path / "brief.wav", 20.0, 2.0), video, "--bundle", meter)
    assert "undetermined: the sound is shorter than 3 s" in brief.output
    assert "0:00:20.00" in brief.output.split()
    twice = write_clip(tmp_path / "twice.mkv", frames=np.tile(make_frames(np.arange(750) / 25), (2, 1, 1, 1)))
    repeated = locate(write_sound(tmp_path / "sound.wav", 12.0, 8.0), twice, "--bundle", meter)
    assert "undetermined: other places fit nearly as well" in repeated.output
    assert {"0:00:12.00", "0:00:42.00"} <= set(repeated.output.split())


def test_the_shipped_model_on_generated_clips(tmp_path: Path) -> None:
    """Of twelve scenes in a row each sound fits its own best, found or not; what belongs to none is not found."""
    specs = draw_specs(14, 5, duration_seconds=5.0, plain=True, clutter=0.3, speech="synthetic")
    scenes = [render(spec) for spec in specs]
    frames = [np.stack([frame for _, frame in scene.frames]) for scene in scenes[:12]]
    video = write_clip(tmp_path / "long.mp4", frames=np.concatenate(frames), tracks=("video",))
    found, first = {}, {}
    for number in (1, 4, 9, 12, 13):
        sound = tmp_path / f"{number}.wav"
        with sound.open("wb") as stream:
            write_pcm16(stream, scenes[number].audio[:, 0])
        assert locate(sound, video, "--json", tmp_path / "out.json").exit_code == 0
        answer = json.loads((tmp_path / "out.json").read_text())
        first[number] = answer["places"][0]["video_seconds"]
        if answer["state"] == "found":
            found[number] = first[number]
    assert {number: first[number] for number in (1, 4, 9)} == {
        number: pytest.approx(5.0 * number, abs=0.08) for number in (1, 4, 9)
    }
    assert not found.keys() & {12, 13}


def test_what_cannot_be_used(meter: Path, video: Path, tmp_path: Path) -> None:
    """A sound too short, a file without audio, one without video, one that is cut off, results over an input."""
    short = locate(write_sound(tmp_path / "short.wav", 0.0, 0.07), video, "--bundle", meter)
    assert (short.exit_code, "from 0.12 to 300 s can be located" in short.output) == (2, True)
    sound = write_sound(tmp_path / "sound.wav", 0.0, 2.0)
    assert (locate(video, video, "--bundle", meter).exit_code, locate(sound, sound, "--bundle", meter).exit_code) == (
        1,
        1,
    )
    assert locate(sound, video, "--bundle", meter, "--json", sound).exit_code == 2
    assert locate(sound, video, "--bundle", meter, "--video-stream", 1).exit_code == 1
    (tmp_path / "cut.mkv").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    cut = locate(sound, tmp_path / "cut.mkv", "--bundle", meter)
    assert (cut.exit_code, "it ends after" in cut.output) == (1, True)


@pytest.mark.parametrize("name", ["late.mkv", "odd.mp4"])
def test_frames_alone(name: str, tmp_path: Path) -> None:
    """The same frames at the same times as those of the reader of both tracks."""
    path = write_clip(tmp_path / name, seconds=1.5, frame_rate=30)
    with MediaReader(path) as reader:
        wanted = [item for item in reader if isinstance(item, VideoFrame)]
    with FrameReader(path) as reader:
        found = list(reader)
        assert reader.duration_seconds == pytest.approx(1.5, abs=0.1)
    assert [frame.pts_seconds for frame in found] == [frame.pts_seconds for frame in wanted]
    assert all(np.array_equal(mine.rgb, other.rgb) for mine, other in zip(found, wanted, strict=True))


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0.0, 3725.678, -1.5, -0.001)] == [
        *("0:00:00.00", "1:02:05.68", "-0:00:01.50", "0:00:00.00")
    ]
