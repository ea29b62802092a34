"""Windows of face tracks: picture and sound stay together at any start, tempo, audio start and frame rate."""

import numpy as np
import pytest
import torch
from talking_clips import make_track

from cavsync.data.augment.config import Augmentation
from cavsync.data.augment.faces import MIRRORED, FaceAugmentation, change_landmarks, change_mouths
from cavsync.data.batches import RejectedClip
from cavsync.data.face_batches import FaceWindow, FaceWindows, collate_windows
from cavsync.data.faces.face_clip import FaceClip
from cavsync.data.faces.windows import (
    TimedClip,
    WindowPlan,
    cut_window,
    draw_place,
    inside_audio,
    longest_place,
    usable_spans,
)
from cavsync.errors import MediaError
from cavsync.media.mouth import MOUTH_SIZE, NUM_COORDINATES, NUM_FEATURES, POINTS, lip_features, lip_shape
from cavsync.model.face_sync import FRAMES_PER_STEP, NUM_FRAMES, SEGMENT_FRAMES

PLAN = WindowPlan(frames=40, min_frames=31, frame_rate_hz=25.0, num_frames=NUM_FRAMES, segment_frames=SEGMENT_FRAMES)
CASES = [
    (seed, rate, start, tempo)
    for seed, (rate, start, tempo) in enumerate(
        [(25, 0.0, 1.0), (25, 0.37, 0.9), (29.97, -0.21, 1.1), (50, 0.013, 0.95), (12.5, 0.5, 1.07), (23.976, 0.0, 1.1)]
    )
]


def clock_clip(frame_rate_hz: float, audio_start_seconds: float, seed: int, seconds: float = 4.0) -> TimedClip:
    """A clip whose first landmark is the frame's time, and whose first mel bin is the time of the frame's middle."""
    random = np.random.default_rng(seed)
    times = 0.3 + np.arange(int(seconds * frame_rate_hz)) / frame_rate_hz
    times[1:-1] += random.uniform(-0.2, 0.2, len(times) - 2) / frame_rate_hz
    landmarks = np.zeros((len(times), 3), np.float32)
    landmarks[:, 0] = times
    log_mel = np.zeros((int(seconds * 100), 128), np.float32)
    log_mel[:, 0] = audio_start_seconds + (160 * np.arange(len(log_mel)) + 200) / 16000
    mouths = np.zeros((len(times), 4), np.uint8)
    return TimedClip("clip", times, landmarks, mouths, log_mel, audio_start_seconds)


@pytest.mark.parametrize(("seed", "rate", "start", "tempo"), CASES)
def test_every_pair_sees_one_moment(seed: int, rate: float, start: float, tempo: float) -> None:
    """The middle frame of what an embedding sees is shown in the middle of what the other one hears."""
    clip, random = clock_clip(rate, start, seed), np.random.default_rng(seed)
    for _ in range(20):
        place = draw_place(clip, PLAN, tempo, random)
        window = cut_window(clip, PLAN, place)
        pairs = PLAN.num_pairs(place.frames)
        seen = window.landmarks[NUM_FRAMES // 2 :, 0][:pairs]
        heard = window.log_mel[SEGMENT_FRAMES // 2 :: FRAMES_PER_STEP, 0][:pairs]
        np.testing.assert_allclose(heard, seen, atol=1e-5)
        np.testing.assert_allclose(np.diff(window.landmarks[:, 0]), 0.04 * tempo, atol=1e-5)
        np.testing.assert_allclose(np.diff(window.log_mel[:, 0]), 0.01 * tempo, atol=1e-5)
        assert len(window.log_mel) == SEGMENT_FRAMES + FRAMES_PER_STEP * (pairs - 1)


@pytest.mark.parametrize(("seed", "rate", "start", "tempo"), CASES)
def test_windows_stay_inside_and_reach_the_ends(seed: int, rate: float, start: float, tempo: float) -> None:
    """No frame or log-mel frame is made up, and nothing at the ends of the clip is left out."""
    clip, random = clock_clip(rate, start, seed), np.random.default_rng(seed)
    places = [draw_place(clip, PLAN, tempo, random) for _ in range(300)]
    assert {place.frames for place in places} == {PLAN.frames}
    ends = [place.start_seconds + (place.frames - 1) * 0.04 * tempo for place in places]
    ((begin, end),) = usable_spans(clip, PLAN, tempo)
    assert min(place.start_seconds for place in places) == pytest.approx(begin, abs=0.1)
    assert max(ends) == pytest.approx(end, abs=0.1)
    assert min(place.start_seconds for place in places) >= clip.times_seconds[0]
    assert max(ends) <= clip.times_seconds[-1] + 1e-6
    for place in places:
        assert inside_audio(clip, PLAN, place, 0).all()
    assert not inside_audio(clip, PLAN, places[0], 200).all()


@pytest.mark.parametrize(
    ("rate", "start", "delay"), [(25, 0.0, 0.0), (30, 0.25, 0.0), (25, -0.1, 0.04), (50, 0.0, -0.2)]
)
def test_a_mouth_opens_when_a_tone_sounds(rate: float, start: float, delay: float) -> None:
    """Through the real log-mel and lip features: both rise at the same place of the window."""
    onset = 1.5
    times = np.arange(int(3 * rate)) / rate
    moments = start + np.arange(3 * 16000) / 16000
    # Audio that is early by `delay` is delayed by it.
    tone = 0.3 * np.sin(2 * np.pi * 500 * moments) * (moments >= onset - delay)
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(tone))
    clip = TimedClip.of(
        FaceClip("clip", make_track((times >= onset).astype(float), times), (tone + noise).astype(np.float32), start)
    ).with_audio_delayed(delay)
    for tempo in (0.9, 1.0, 1.1):
        place = draw_place(clip, PLAN, tempo, np.random.default_rng(1))
        window = cut_window(clip, PLAN, place)
        opening = window.landmarks[:, -1]
        loudness = window.log_mel.max(axis=1)
        opens = np.argmax(opening > (opening.min() + opening.max()) / 2) - NUM_FRAMES // 2
        sounds = (np.argmax(loudness > (loudness.min() + loudness.max()) / 2) - SEGMENT_FRAMES // 2) / FRAMES_PER_STEP
        # A frame of the source, and half of the log-mel's 25 ms.
        assert abs(opens - sounds) <= 25 / rate + 0.5


def test_gaps_split_and_short_clips_are_rejected() -> None:
    """A face that is gone for a second is not interpolated; what is left must be long enough."""
    clip = clock_clip(25, 0.0, 1, seconds=6.0)
    kept = (clip.times_seconds < 2.0) | (clip.times_seconds > 3.0)
    split = TimedClip("clip", clip.times_seconds[kept], clip.landmarks[kept], clip.mouths[kept], clip.log_mel, 0.0)
    spans = usable_spans(split, PLAN)
    assert len(spans) == 2
    assert longest_place(split, PLAN).start_seconds == pytest.approx(3.0, abs=0.06)
    for seed in range(50):
        place = draw_place(split, PLAN, 1.0, np.random.default_rng(seed))
        end = place.start_seconds + (place.frames - 1) * 0.04
        assert any(begin - 1e-6 <= place.start_seconds and end <= last + 1e-6 for begin, last in spans)
    shorter = clock_clip(25, 0.3, 1, seconds=1.5)
    assert draw_place(shorter, PLAN, 1.0, np.random.default_rng(0)).frames in range(31, 40)
    with pytest.raises(MediaError, match="too short") as caught:
        usable_spans(clock_clip(25, 0.3, 1, seconds=1.1), PLAN)
    assert caught.value.reason == "too_short"


FACES = np.stack([lip_features(points) for points in make_track(np.linspace(0, 1, 30), np.arange(30.0)).points])
OTHER = FACES[3] + np.random.default_rng(9).normal(0, 0.1, FACES[3].shape).astype(np.float32)


def coordinates(features: np.ndarray) -> np.ndarray:
    """x, y and z of the landmarks, (n, P, 3)."""
    return features[:, :NUM_COORDINATES].reshape(len(features), -1, 3)


def test_mirroring() -> None:
    """Twice gives the same; symmetric points are their own or each other's image; a mirrored picture gives it too."""
    assert np.array_equal(MIRRORED[MIRRORED], np.arange(len(POINTS)))
    names = {POINTS[here]: POINTS[there] for here, there in enumerate(MIRRORED)}
    # Known pairs of MediaPipe's mesh: corners of the mouth; upper, lower, inner middle; cheeks, chin.
    known = {61: 291, 78: 308, 0: 0, 17: 17, 13: 13, 14: 14, 152: 152, 50: 280, 37: 267, 84: 314, 82: 312, 172: 397}
    assert {point: names[point] for point in known} == known
    nothing, random = FaceAugmentation(), np.random.default_rng(0)
    once = change_landmarks(FACES, OTHER, nothing, True, random)
    # tests/media/test_mouth.py compares it with the features of a mirrored face.
    np.testing.assert_array_equal(coordinates(once), coordinates(FACES)[:, MIRRORED] * np.float32([-1, 1, 1]))
    np.testing.assert_allclose(once[:, -3:], FACES[:, -3:], atol=1e-5)
    np.testing.assert_allclose(change_landmarks(once, OTHER, nothing, True, random), FACES, atol=1e-5)
    mouths = np.random.default_rng(1).uniform(0, 255, (2, MOUTH_SIZE**2)).astype(np.float32)
    flipped = change_mouths(mouths, nothing, True, random).reshape(2, MOUTH_SIZE, MOUTH_SIZE)
    np.testing.assert_allclose(flipped[:, :, ::-1], mouths.reshape(flipped.shape), atol=1e-4)


def test_no_change_is_the_identity() -> None:
    """Whatever the other mouth and the random numbers are."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        found = change_landmarks(FACES, OTHER, FaceAugmentation(), False, random)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, FACES, atol=1e-6)


def test_another_mouth_changes_the_rest_only() -> None:
    """The mean of the frames moves towards the other mouth by a share of the way; what the lips do stays."""
    shares = []
    for seed in range(40):
        wanted = FaceAugmentation(other_mouth=1.0)
        points = coordinates(change_landmarks(FACES, OTHER, wanted, False, np.random.default_rng(seed)))
        own, mean = coordinates(FACES), points.mean(axis=0)
        np.testing.assert_allclose(points - mean, own - own.mean(axis=0), atol=1e-6)
        way = (coordinates(OTHER[None])[0] - own.mean(axis=0)).ravel()
        moved = (mean - own.mean(axis=0)).ravel()
        shares.append(float(moved @ way / (way @ way)))
        np.testing.assert_allclose(moved, shares[-1] * way, atol=1e-6)
    assert 0 <= min(shares) < 0.2
    assert 0.8 < max(shares) <= 1
    half = [change_landmarks(FACES, OTHER, FaceAugmentation(other_mouth=0.5), False, np.random.default_rng(seed))
            for seed in range(40)]  # fmt: skip
    spans = [float((coordinates(each).mean(axis=0) - own.mean(axis=0)).ravel() @ way / (way @ way)) for each in half]
    np.testing.assert_allclose(spans, np.array(shares) / 2, atol=1e-5)


def test_motion_changes_around_the_rest() -> None:
    """The mean stays, and all deviations from it change by one factor, which is as often above 1 as below."""
    factors = []
    for seed in range(200):
        wanted = FaceAugmentation(landmark_motion=0.2)
        points = coordinates(change_landmarks(FACES, OTHER, wanted, False, np.random.default_rng(seed)))
        own = coordinates(FACES)
        np.testing.assert_allclose(points.mean(axis=0), own.mean(axis=0), atol=1e-6)
        deviations, before = points - points.mean(axis=0), own - own.mean(axis=0)
        factors.append(float((deviations * before).sum() / (before**2).sum()))
        np.testing.assert_allclose(deviations, factors[-1] * before, atol=1e-5)
    assert np.mean(np.log(factors)) == pytest.approx(0, abs=0.05)
    assert np.std(np.log(factors)) == pytest.approx(0.2, rel=0.2)


def test_changes_are_of_the_strength_asked_for() -> None:
    """Offsets are the same in all frames, noise is not; area, width and opening are those of the changed points."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        shifted = change_landmarks(FACES, OTHER, FaceAugmentation(landmark_offset=0.01), False, random)
        moved = coordinates(shifted) - coordinates(FACES)
        np.testing.assert_allclose(moved, moved[:1] + np.zeros_like(moved), atol=1e-6)
        assert 0.005 < moved[0].std() < 0.02
        scaled = change_landmarks(FACES, OTHER, FaceAugmentation(landmark_scale=0.1), False, random)
        ratio = scaled[:, -2] / FACES[:, -2]
        np.testing.assert_allclose(coordinates(scaled), ratio[:, None, None] * coordinates(FACES), atol=1e-5)
        np.testing.assert_allclose(scaled[:, -3] / FACES[:, -3], ratio**2, rtol=1e-4)
    noisy = change_landmarks(FACES, OTHER, FaceAugmentation(landmark_noise=0.01), False, np.random.default_rng(0))
    noise = coordinates(noisy) - coordinates(FACES)
    assert np.abs(np.diff(noise, axis=0)).max() > 1e-3
    assert 1e-4 < noise.std() < 0.01
    for changed in (shifted, noisy):
        np.testing.assert_allclose(changed[:, -3:], lip_shape(coordinates(changed).astype(float)), atol=1e-6)


class Tracks:
    """A source of clips in memory."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = seconds
        self.names = [f"clip {index}" for index in range(len(seconds))]

    def load(self, index: int) -> FaceClip:
        times = np.arange(int(self.seconds[index] * 25)) / 25
        random = np.random.default_rng(index)
        samples = random.normal(0, 0.1, int(self.seconds[index] * 16000)).astype(np.float32)
        return FaceClip(self.names[index], make_track(random.uniform(0, 1, len(times)), times), samples, 0.0)


AUGMENTATION = Augmentation(mirror=0.5, tempo=(0.9, 1.1), gain_db=6, background=0.7, frequency_mask_bins=9)
FACE_AUGMENTATION = FaceAugmentation(landmark_offset=0.01, landmark_noise=0.01, mouth_shift_px=2, mouth_noise_levels=5)


def test_an_index_gives_the_same_window() -> None:
    """In memory or read each time; another visit gives another window."""
    options = {"seed": 3, "augmentation": AUGMENTATION, "face_augmentation": FACE_AUGMENTATION}
    kept, read = (FaceWindows(Tracks(3, 4), PLAN, keep=keep, **options) for keep in (True, False))  # type: ignore[arg-type]
    for draw in ((0, 0), (1, 0), (0, 1), (0, 0)):
        first, second = kept[draw], read[draw]
        assert isinstance(first, FaceWindow)
        assert isinstance(second, FaceWindow)
        assert torch.equal(first.features, second.features)
        assert torch.equal(first.log_mel, second.log_mel)
    assert not torch.equal(kept[0, 0].features, kept[0, 1].features)  # type: ignore[union-attr]


class CountedTracks(Tracks):
    """Notes what is loaded."""

    def __init__(self, *seconds: float) -> None:
        super().__init__(*seconds)
        self.loaded: list[int] = []

    def load(self, index: int) -> FaceClip:
        self.loaded.append(index)
        return super().load(index)


def test_another_clip_is_read_only_for_its_mouth_or_sound() -> None:
    plain, mouths = CountedTracks(3, 4, 3), CountedTracks(3, 4, 3)
    for visit in range(8):
        FaceWindows(plain, PLAN)[0, visit]
        FaceWindows(mouths, PLAN, face_augmentation=FaceAugmentation(other_mouth=0.3))[0, visit]
    assert plain.loaded == [0] * 8
    assert set(mouths.loaded) == {0, 1, 2}


class TracksWithGap(Tracks):
    """All but the first clip cannot be used."""

    def load(self, index: int) -> FaceClip:
        if index:
            raise MediaError("the clip is gone", reason="missing")
        return super().load(index)


def test_a_partner_that_cannot_be_used_leaves_the_mouth() -> None:
    wanted = FaceAugmentation(other_mouth=1.0)
    found, plain = (
        FaceWindows(TracksWithGap(3, 3), PLAN, face_augmentation=wanted, partners=[partner])[0, 0] for partner in (1, 0)
    )
    assert isinstance(found, FaceWindow)
    assert isinstance(plain, FaceWindow)
    torch.testing.assert_close(found.features, plain.features)


def test_batches_are_padded_and_rejects_are_kept() -> None:
    """Shorter clips give shorter windows, too short ones none."""
    windows = FaceWindows(Tracks(3, 1.5, 0.8), PLAN)
    batch = collate_windows([windows[index, 0] for index in range(3)])
    assert (len(batch), batch.names) == (2, ["clip 0", "clip 1"])
    assert batch.features.shape == (2, 40, NUM_FEATURES)
    assert batch.log_mel.shape == (2, PLAN.num_log_mel(40), 128)
    assert batch.lengths.tolist() == [40, 37]
    assert not batch.features[1, 37:].any()
    assert batch.features[1, 36].any()
    assert [(type(reject), reject.error.reason) for reject in batch.rejects] == [(RejectedClip, "too_short")]
    assert len(collate_windows([windows[2, 0]])) == 0
