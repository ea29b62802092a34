"""The bounded queue of packets and notices between reader and scorer, with a policy for when it is full.

Packets are queued rather than frames, because they are small (seconds of stream take megabytes) and the reader never
waits for a decoder. Dropping removes whole groups of frames, from one key frame to the next, with their audio. It
empties half of the queue at once, so that the rest is contiguous for long enough to decide on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import av
from av.stream import Stream

from cavsync.deploy.live.address import DROP_OLDEST, POLICIES
from cavsync.deploy.live.decoder import Codecs
from cavsync.errors import ConfigError
from cavsync.media import MediaInfo

KEPT_SHARE = 0.5
VIDEO, AUDIO, NOTICE = "video", "audio", "notice"


@dataclass(frozen=True)
class Stretch:
    """A new unbroken clock begins; its packets are decoded by `codecs`. `why` says what ended the previous stretch."""

    codecs: Codecs
    info: MediaInfo
    why: str
    is_reconnection: bool = False


@dataclass(frozen=True)
class Waiting:
    """The connection failed or broke; the next try follows in `seconds`."""

    why: str
    seconds: float


@dataclass(frozen=True)
class End:
    """The last notice; `error` is None where the source ended or was stopped."""

    error: BaseException | None


Notice = Stretch | Waiting | End


@dataclass(frozen=True)
class QueueItem:
    """A packet at stream time `time_seconds`, or a notice, which has no time and is never dropped.

    `is_key`: the packet is a video key frame, decodable without earlier packets.
    """

    kind: str
    time_seconds: float
    is_key: bool
    payload: av.Packet[Stream] | Notice


class PacketQueue:
    """Bounded queue of packets and notices between two threads.

    Args:
        seconds: largest stream time between the oldest and the newest packet.
        items: largest number of packets.
        policy: `block` makes `put` wait for room; `drop_oldest` drops the oldest groups of frames and counts them in
            `dropped_packets` and `dropped_seconds`.

    Raises:
        ConfigError: an unknown policy, or a size without room for a packet.
    """

    def __init__(self, seconds: float = 10.0, items: int = 20_000, policy: str = DROP_OLDEST) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"the policy of a full queue is {policy}: give one of {', '.join(POLICIES)}")
        if not seconds > 0 or items < 1:
            raise ConfigError(f"the queue holds {seconds} s and {items} packets: give more than 0 of both")
        self._seconds = seconds
        self._items = items
        self._policy = policy
        self._queue: deque[QueueItem] = deque()
        self._num_packets = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._waits_for_key = False
        self.dropped_packets = 0
        self.dropped_seconds = 0.0

    def put(self, item: QueueItem) -> bool:
        """Add a packet or notice; returns False once the queue is closed."""
        with self._changed:
            may_drop = item.kind != NOTICE and self._policy == DROP_OLDEST
            if may_drop and not self._is_wanted(item):
                self.dropped_packets += 1
                return not self._is_closed
            self._changed.wait_for(lambda: may_drop or self._is_closed or not self._is_full(item))
            if not self._is_closed:
                self._queue.append(item)
                self._num_packets += item.kind != NOTICE
            if may_drop and self._is_too_full():
                self._make_room()
            self._changed.notify_all()
            return not self._is_closed

    def get(self, timeout_seconds: float) -> QueueItem | None:
        """Remove and return the oldest item; None after the time-out, or when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._queue) or self._is_closed, timeout_seconds)
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._num_packets -= item.kind != NOTICE
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Refuse further items; those inside can still be fetched."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def span_seconds(self) -> float:
        """Stream time from the oldest to the newest packet."""
        with self._changed:
            if not self._num_packets:
                return 0.0
            return abs(_first_seconds(reversed(self._queue)) - _first_seconds(self._queue))

    def __len__(self) -> int:
        return len(self._queue)

    def _is_wanted(self, item: QueueItem) -> bool:
        """Return whether to queue the packet: after a drop, video resumes with a key frame."""
        if item.kind == VIDEO and self._waits_for_key:
            self._waits_for_key = not item.is_key
            return item.is_key
        return True

    def _is_too_full(self, share: float = 1.0) -> bool:
        return self._num_packets > share * self._items or self.span_seconds > share * self._seconds

    def _is_full(self, item: QueueItem) -> bool:
        if item.kind == NOTICE or self._num_packets == 0:
            return False
        return self._num_packets >= self._items or item.time_seconds - _first_seconds(self._queue) > self._seconds

    def _make_room(self) -> None:
        """Drop down to half of the limits: a slow scorer then gets whole windows between gaps, not fragments."""
        while self._num_packets > 1 and self._is_too_full(share=KEPT_SHARE):
            self._drop_group()

    def _drop_group(self) -> None:
        """Drop the oldest packets up to the next key frame; without one drop all, and all video until one arrives."""
        kept: deque[QueueItem] = deque()
        start_seconds = end_seconds = _first_seconds(self._queue)
        count = 0
        while self._queue:
            front = self._queue[0]
            if count and front.kind == VIDEO and front.is_key:
                break
            self._queue.popleft()
            if front.kind == NOTICE:
                kept.append(front)
                continue
            end_seconds = max(end_seconds, front.time_seconds)
            count += 1
        else:
            self._waits_for_key = True
        self._queue.extendleft(reversed(kept))
        self._num_packets -= count
        self.dropped_packets += count
        front_seconds = _first_seconds(self._queue) if self._num_packets else end_seconds
        self.dropped_seconds += max(0.0, front_seconds - start_seconds)


def _first_seconds(items: Iterable[QueueItem]) -> float:
    """Return the stream time of the first packet."""
    return next(item.time_seconds for item in items if item.kind != NOTICE)
