"""The bounded queue: nothing lost when it blocks, whole groups and honest counts when it drops."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE_SECONDS

from cavsync.deploy.live.packet_queue import AUDIO, NOTICE, VIDEO, PacketQueue, QueueItem
from cavsync.errors import ConfigError


@st.composite
def streams(draw: st.DrawFn) -> list[QueueItem]:
    """Frames with keys here and there, audio in between, notices now and then; payloads are numbers in order."""
    pieces: list[QueueItem] = []
    seconds = 0.0
    for number in range(draw(st.integers(1, 120))):
        kind = draw(st.sampled_from([VIDEO, VIDEO, AUDIO, AUDIO, AUDIO, NOTICE]))
        seconds += draw(st.sampled_from([0.0, 0.02, 0.04, 0.5]))
        is_key = kind == VIDEO and draw(st.integers(0, 4)) == 0
        pieces.append(QueueItem(kind, 0.0 if kind == NOTICE else seconds, is_key, number))
    return pieces


def drain(queue: PacketQueue) -> list[QueueItem]:
    out = []
    while (piece := queue.get(0.0)) is not None:
        out.append(piece)
    return out


@settings(deadline=None, max_examples=60)
@given(streams(), st.floats(0.05, 3.0), st.integers(1, 30), st.data())
def test_dropping_keeps_order_bounds_notices_and_count(
    pieces: list[QueueItem], seconds: float, items: int, data: st.DataObject
) -> None:
    queue = PacketQueue(seconds, items, "drop_oldest")
    out: list[QueueItem] = []
    for piece in pieces:
        assert queue.put(piece)
        assert queue.span_seconds <= seconds
        assert len(queue) <= items + sum(one.kind == NOTICE for one in pieces)
        if data.draw(st.integers(0, 3)) == 0 and (taken := queue.get(0.0)) is not None:
            out.append(taken)
    out += drain(queue)
    packets = [piece for piece in out if piece.kind != NOTICE]
    numbers = [piece.payload for piece in packets]
    assert numbers == sorted(numbers)
    assert [p.payload for p in out if p.kind == NOTICE] == [p.payload for p in pieces if p.kind == NOTICE]
    sent = [piece for piece in pieces if piece.kind != NOTICE]
    assert len(sent) - len(packets) == queue.dropped_packets
    # A frame follows the one that was sent before it, or can be decoded without.
    before = {piece.payload: number for number, piece in enumerate(p for p in sent if p.kind == VIDEO)}
    got = [piece for piece in packets if piece.kind == VIDEO]
    for previous, piece in zip([None, *got], got, strict=False):
        follows = before[piece.payload] == (0 if previous is None else before[previous.payload] + 1)
        assert follows or piece.is_key
    lost_seconds = sent[-1].time_seconds - sent[0].time_seconds if sent else 0.0
    assert 0.0 <= queue.dropped_seconds <= lost_seconds + 1e-9


@settings(deadline=None, max_examples=30)
@given(streams())
def test_a_queue_that_is_large_enough_drops_nothing(pieces: list[QueueItem]) -> None:
    queue = PacketQueue(1000.0, 1000, "drop_oldest")
    for piece in pieces:
        queue.put(piece)
    assert drain(queue) == pieces
    assert (queue.dropped_packets, queue.dropped_seconds) == (0, 0.0)


def test_whole_groups_go_first() -> None:
    queue = PacketQueue(1.0, 1000, "drop_oldest")
    for number in range(40):
        queue.put(QueueItem(VIDEO, number * 0.04, number % 10 == 0, number))
    # Full at number 26: all up to 20 go, as half a second may stay; full again at none of the rest.
    assert [piece.payload for piece in drain(queue)] == list(range(20, 40))
    assert queue.dropped_packets == 20
    assert queue.dropped_seconds == pytest.approx(0.8)


def test_a_group_longer_than_the_queue_goes_whole() -> None:
    queue = PacketQueue(1.0, 1000, "drop_oldest")
    for number in range(60):
        queue.put(QueueItem(VIDEO, number * 0.04, number in (0, 50), number))
    assert [piece.payload for piece in drain(queue)] == list(range(50, 60))
    assert queue.dropped_packets == 50


@pytest.mark.parametrize("items", [1, 7])
def test_blocking_loses_nothing_and_stays_bounded(items: int) -> None:
    queue = PacketQueue(0.2, items, "block")
    pieces = [QueueItem(VIDEO, number * 0.04, number % 10 == 0, number) for number in range(200)]
    producer = threading.Thread(target=lambda: [queue.put(piece) for piece in pieces])
    producer.start()
    out = []
    for _ in pieces:
        assert len(queue) <= items
        out.append(queue.get(5.0))
    producer.join(PATIENCE_SECONDS)
    assert out == pieces
    assert queue.dropped_packets == 0


def test_closing_frees_a_producer_that_waits() -> None:
    queue = PacketQueue(0.1, 1, "block")
    queue.put(QueueItem(VIDEO, 0.0, True, 0))
    answers: list[bool] = []
    producer = threading.Thread(target=lambda: answers.append(queue.put(QueueItem(VIDEO, 1.0, True, 1))))
    producer.start()
    queue.close()
    producer.join(PATIENCE_SECONDS)
    assert answers == [False]
    assert [piece.payload for piece in drain(queue)] == [0]
    assert queue.get(10.0) is None, "a closed queue does not wait"


@pytest.mark.parametrize(
    ("seconds", "items", "policy"), [(0.0, 1, "block"), (1.0, 0, "block"), (1.0, 1, "drop_newest")]
)
def test_nonsense_is_refused(seconds: float, items: int, policy: str) -> None:
    with pytest.raises(ConfigError, match="give"):
        PacketQueue(seconds, items, policy)
