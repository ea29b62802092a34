"""Features of pairs of frames, computed once and shared by tubelets: as if each tubelet were built by itself."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from counting_engine import CountingEngine
from fake_bundle import QUIET_DBFS
from hypothesis import given, settings
from hypothesis import strategies as st
from pair_bundle import write_pair_bundle
from streams import RATE_HZ
from sync_clips import TONE_HZ

from cavsync.deploy import Bundle, EnginePool, SyncScorer
from cavsync.deploy.stream.rows import Row

NUM_FRAMES = 9
STEP_SECONDS = 0.04
# Each frame of each pair has another one, so that no two tubelets of other frames look alike.
WEIGHTS = np.arange(2.0, 2 * NUM_FRAMES) / sum(range(2, 2 * NUM_FRAMES))


@dataclass(frozen=True)
class Part:
    """`seconds` of a stream at `rate_hz`, whose clock jumps by `jump_seconds` before it; negative ones set it back."""

    seconds: float
    rate_hz: float
    jump_seconds: float


@dataclass(frozen=True)
class Frame:
    epoch: int
    time_seconds: float
    grey: int


Push = tuple[float, int, float, np.ndarray]


def starts(parts: list[Part]) -> Iterator[tuple[Part, float, float, int]]:
    """Each part with its start on a clock that never jumps, its start on the stream's clock, and the latter's epoch."""
    begin = time = 0.0
    epoch = 0
    for number, part in enumerate(parts):
        if number:
            time += part.jump_seconds
            epoch += part.jump_seconds < 0
        yield part, begin, time, epoch
        begin += part.seconds
        time += part.seconds


def frames_of(parts: list[Part], seed: int) -> list[tuple[float, Frame]]:
    """Frames of random brightness, each with the moment, on a clock that never jumps, at which it is pushed."""
    generator = np.random.default_rng(seed)
    found: list[tuple[float, Frame]] = []
    for part, begin, time, epoch in starts(parts):
        for index in range(round(part.seconds * part.rate_hz)):
            after = index / part.rate_hz
            found.append((begin + after, Frame(epoch, time + after, int(generator.integers(256)))))
    return found


def audio_of(parts: list[Part], cuts: list[float], leads_by_seconds: float) -> list[Push]:
    """A tone that the audio encoder maps to an angle of 0, in pieces that end at `cuts`, shares of each part."""
    found: list[Push] = []
    for part, begin, time, _ in starts(parts):
        count = round(part.seconds * RATE_HZ)
        tone = np.sqrt(2) * 10 ** (QUIET_DBFS / 20) * np.sin(2 * np.pi * TONE_HZ * np.arange(count) / RATE_HZ)
        edges = sorted({0, *(round(cut * count) for cut in cuts), *range(0, count, RATE_HZ // 2), count})
        for start, stop in itertools.pairwise(edges):
            after = start / RATE_HZ
            found.append((begin + after - leads_by_seconds, 0, time + after, tone[start:stop].astype(np.float32)))
    return found


@dataclass(frozen=True)
class Stream:
    parts: list[Part]
    cuts: list[float]
    audio_leads_by_seconds: float

    def pushes(self, seed: int) -> list[Push]:
        frames = [
            (moment, 1, frame.time_seconds, np.full((24, 32, 3), frame.grey, np.uint8))
            for moment, frame in frames_of(self.parts, seed)
        ]
        audio = audio_of(self.parts, self.cuts, self.audio_leads_by_seconds)
        return sorted([*frames, *audio], key=lambda push: push[:2])


def tubelets_by_hand(frames: list[Frame], rate_hz: float) -> list[tuple[Frame, list[int]]]:
    """The instants of a stream and the numbers of the frames of their tubelets, each looked for among all frames."""
    found: list[tuple[Frame, list[int]]] = []
    for epoch in sorted({frame.epoch for frame in frames}):
        numbers = [number for number, frame in enumerate(frames) if frame.epoch == epoch]
        first_seconds, next_slot = frames[numbers[0]].time_seconds, 0
        for number in numbers:
            time = frames[number].time_seconds
            slot = math.floor((time - first_seconds) * rate_hz + 0.05)
            if slot < next_slot:
                continue
            next_slot = slot + 1
            moments = [time + (place - NUM_FRAMES // 2) * STEP_SECONDS for place in range(NUM_FRAMES)]
            found.append(
                (
                    frames[number],
                    [min(numbers, key=lambda n, m=moment: abs(frames[n].time_seconds - m)) for moment in moments],
                )
            )
    return found


def angle(frames: list[Frame], tubelet: list[int]) -> float:
    """What the bundle's encoders make of a tubelet, from its frames alone."""
    levels = [frames[number].grey for pair in itertools.pairwise(tubelet) for number in pair]
    return math.pi * float(np.dot(WEIGHTS, levels)) / 255


RATES_HZ = st.sampled_from([24.0, 24_000 / 1001, 25.0, 30_000 / 1001, 30.0, 50.0, 60.0])
JUMPS_SECONDS = st.sampled_from([0.0, 0.3, 4.0, 30.0, 86_400.0, -5.0, -2000.0])
STREAMS = st.builds(
    Stream,
    st.lists(st.builds(Part, st.floats(1.2, 2.5), RATES_HZ, JUMPS_SECONDS), min_size=1, max_size=3),
    st.lists(st.floats(0.01, 0.99), max_size=12),
    st.sampled_from([0.0, 0.0, 0.7, -0.3, 100.0, -100.0]),
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = write_pair_bundle(tmp_path_factory.mktemp("pairs"), NUM_FRAMES, list(WEIGHTS))
    return Bundle.open(folder, threads=1)


@settings(max_examples=40, deadline=None)
@given(streams=st.lists(STREAMS, min_size=1, max_size=2), pooled=st.booleans(), turns=st.randoms(use_true_random=False))
def test_every_row_is_that_of_its_own_tubelet(
    bundle: Bundle, streams: list[Stream], pooled: bool, turns: random.Random
) -> None:
    """Two streams take turns on one bundle, each cut in any way; each pair of frames is computed once."""
    assert bundle.pairs is not None
    engine = CountingEngine(bundle.pairs)
    counted = replace(bundle, pairs=engine)
    rows: list[list[Row]] = [[] for _ in streams]
    with EnginePool(counted, deadline_ms=0.0) as pool:
        used = pool.bundle if pooled else counted
        scorers = [SyncScorer(used, on_row=kept.append) for kept in rows]
        waiting = [stream.pushes(seed)[::-1] for seed, stream in enumerate(streams)]
        while any(waiting):
            place = turns.choice([number for number, pushes in enumerate(waiting) if pushes])
            _, is_frame, pts_seconds, data = waiting[place].pop()
            push = scorers[place].push_video if is_frame else scorers[place].push_audio
            push(data, pts_seconds=pts_seconds)
        for scorer in scorers:
            scorer.flush()
    num_pairs = 0
    for seed, (stream, found) in enumerate(zip(streams, rows, strict=True)):
        frames = [frame for _, frame in frames_of(stream.parts, seed)]
        wanted = tubelets_by_hand(frames, used.manifest.sync.frame_rate_hz)
        assert [row.time_seconds for row in found] == [frame.time_seconds for frame, _ in wanted]
        for row, (_, tubelet) in zip(found, wanted, strict=True):
            compared = row.similarity[np.isfinite(row.similarity)]
            np.testing.assert_allclose(compared, math.cos(angle(frames, tubelet)), atol=2e-5)
        if abs(stream.audio_leads_by_seconds) < 1:
            assert np.mean([np.isfinite(row.similarity).any() for row in found]) > 0.7
        num_pairs += len({pair for _, tubelet in wanted for pair in itertools.pairwise(tubelet)})
    assert engine.num_inputs == num_pairs
