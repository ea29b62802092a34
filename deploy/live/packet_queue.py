"""The bounded queue between a reader and a scorer: coded packets, in order, and a named policy for when it is full.

Packets rather than frames: they are small, so seconds of stream cost megabytes, and the reader never waits for a
decoder. What is dropped are whole groups of frames, from one key frame to the next, with the audio beside them;
and once something must be dropped, so much that what is left is one piece long enough to be decided on.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

from cavsync.deploy.live.address import DROP_OLDEST, POLICIES
from cavsync.errors import ConfigError

KEPT_SHARE = 0.5
VIDEO, AUDIO, NOTICE = "video", "audio", "notice"


@dataclass(frozen=True)
class QueueItem:
    """A packet of stream time `time_seconds`, or a notice, which has no time and is never dropped.

    `is_key`: a frame that can be decoded without those before it. `payload` is what the two ends agree on.
    """

    kind: str
    time_seconds: float
    is_key: bool
    payload: Any


class PacketQueue:
    """Hand packets from one thread to another.

    Args:
        seconds: most stream time between the oldest and the newest packet.
        items: most packets.
        policy: `block` makes `put` wait; `drop_oldest` drops the oldest groups of frames, counted in
            `dropped_packets` and `dropped_seconds`.

    Raises:
        ConfigError: no such policy, or a size that holds nothing.
    """

    def __init__(self, seconds: float = 10.0, items: int = 20_000, policy: str = DROP_OLDEST) -> None:
        if policy not in POLICIES:
            raise ConfigError(f"the policy of a full queue is {policy}: give one of {', '.join(POLICIES)}")
        if not seconds > 0 or items < 1:
            raise ConfigError(f"the queue holds {seconds} s and {items} packets: give more than 0 of both")
        self._seconds = seconds
        self._items = items
        self._policy = policy
        self._pieces: deque[QueueItem] = deque()
        self._num_packets = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self._waits_for_key = False
        self.dropped_packets = 0
        self.dropped_seconds = 0.0

    def put(self, piece: QueueItem) -> bool:
        """Add a packet; False if the queue was closed and takes nothing more."""
        with self._changed:
            if piece.kind != NOTICE and self._policy == DROP_OLDEST:
                if not self._is_wanted(piece):
                    self.dropped_packets += 1
                    return not self._is_closed
                self._append(piece)
                if self._is_over():
                    self._make_room()
            else:
                while self._is_full(piece) and not self._is_closed:
                    self._changed.wait()
                self._append(piece)
            self._changed.notify_all()
            return not self._is_closed

    def get(self, timeout_seconds: float) -> QueueItem | None:
        """The oldest packet; None if none came in time, or the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._pieces) or self._is_closed, timeout_seconds)
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._num_packets -= piece.kind != NOTICE
            self._changed.notify_all()
            return piece

    def close(self) -> None:
        """Nothing more will be taken; what is inside may still be fetched."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    @property
    def span_seconds(self) -> float:
        """Stream time from the oldest packet to the newest."""
        with self._changed:
            return self._span_seconds()

    def __len__(self) -> int:
        return len(self._pieces)

    def _append(self, piece: QueueItem) -> None:
        if not self._is_closed:
            self._pieces.append(piece)
            self._num_packets += piece.kind != NOTICE

    def _is_wanted(self, piece: QueueItem) -> bool:
        """After a drop frames begin again with one that can be decoded alone."""
        if piece.kind == VIDEO and self._waits_for_key:
            self._waits_for_key = not piece.is_key
            return piece.is_key
        return True

    def _span_seconds(self) -> float:
        times = [piece.time_seconds for piece in (*self._ends(), *self._ends(newest=True))]
        return max(times) - min(times) if times else 0.0

    def _ends(self, *, newest: bool = False) -> list[QueueItem]:
        order = reversed(self._pieces) if newest else iter(self._pieces)
        return next(([piece] for piece in order if piece.kind != NOTICE), [])

    def _is_over(self, share: float = 1.0) -> bool:
        return self._num_packets > share * self._items or self._span_seconds() > share * self._seconds

    def _is_full(self, piece: QueueItem) -> bool:
        if piece.kind == NOTICE or self._num_packets == 0:
            return False
        oldest_seconds = self._ends()[0].time_seconds
        return self._num_packets >= self._items or piece.time_seconds - oldest_seconds > self._seconds

    def _make_room(self) -> None:
        """Drop half of what may wait: a scorer that is too slow then gets whole windows between gaps, not shreds."""
        while self._num_packets > 1 and self._is_over(share=KEPT_SHARE):
            self._drop_group()

    def _drop_group(self) -> None:
        """Drop from the front up to the next key frame; without one in the queue everything, and wait for one."""
        kept: deque[QueueItem] = deque()
        start_seconds = end_seconds = self._ends()[0].time_seconds
        count = 0
        while self._pieces:
            front = self._pieces[0]
            if count and front.kind == VIDEO and front.is_key:
                break
            self._pieces.popleft()
            if front.kind == NOTICE:
                kept.append(front)
                continue
            end_seconds = max(end_seconds, front.time_seconds)
            count += 1
        else:
            self._waits_for_key = True
        self._pieces.extendleft(reversed(kept))
        self._num_packets -= count
        self.dropped_packets += count
        front_seconds = self._ends()[0].time_seconds if self._num_packets else end_seconds
        self.dropped_seconds += max(0.0, front_seconds - start_seconds)
