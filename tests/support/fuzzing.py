"""Run a check on many damaged inputs, each within limits of time and memory, and keep the one that breaks them.

`make test` tries a few, always the same. With FUZZ_SECONDS set, each target goes on for so long with others: those that
FUZZ_SEED determines, or new ones every time.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import random
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

T = TypeVar("T")
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
KEPT = Path(__file__).resolve().parents[2] / "build" / "fuzz"
MAX_SECONDS = 20.0
"""Longest computing time for one input; a busy machine does not count."""
HANG_SECONDS = 600.0
MAX_EXTRA_BYTES = 3 << 29
"""Memory that the process takes while it reads one input, beyond what it has before: 1.5 GB."""


def fuzz(target: str, check: Callable[[T], object], inputs: st.SearchStrategy[T], *, examples: int) -> None:
    """Call `check` with `examples` inputs, and with FUZZ_SECONDS with further ones until the time is over.

    The pickle of the input that is being tried is in build/fuzz/TARGET, where one that ends the process remains; that
    of one that failed is in TARGET.failed.
    """
    KEPT.mkdir(parents=True, exist_ok=True)
    anything = random.SystemRandom().randrange(1 << 32) if SECONDS else 0
    first = int(os.environ.get("FUZZ_SEED", anything))
    end = time.monotonic() + SECONDS
    for number in range(1 << 30):
        options = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        options(seed(first + number)(given(inputs)(_limited(target, check))))()
        if time.monotonic() >= end:
            break


def _limited(target: str, check: Callable[[T], object]) -> Callable[[T], None]:
    def limited(value: T) -> None:
        (KEPT / target).write_bytes(pickle.dumps(value))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        _forget_peak()
        begin, begin_bytes = time.process_time(), _memory_bytes("VmRSS")
        try:
            check(value)
            seconds, extra_bytes = time.process_time() - begin, _memory_bytes("VmHWM") - begin_bytes
            assert seconds < MAX_SECONDS, f"the input took {seconds:.1f} s"
            assert extra_bytes < MAX_EXTRA_BYTES, f"the input took {extra_bytes >> 20} MiB"
        except BaseException:
            shutil.copy(KEPT / target, KEPT / f"{target}.failed")
            raise
        finally:
            faulthandler.cancel_dump_traceback_later()

    return limited


def _forget_peak() -> None:
    """Make Linux count the peak of this process from here; elsewhere none is known."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _memory_bytes(name: str) -> int:
    """Return the memory in use (VmRSS), or the most since the peak was forgotten (VmHWM); 0 where it is unknown."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


INTERESTING = (b"\x00", b"\xff", b"\x7f\xff\xff\x00", b"\x00\xff\xff\x7f", b"\xff" * 4, b"\x80" + bytes(7), bytes(8))


@st.composite
def damaged(draw: st.DrawFn, wholes: Sequence[bytes], most: int = 6) -> bytes:
    """One of the wholes with up to `most` bytes changed, numbers made huge, and stretches cut, doubled or moved."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, most))):
        # Headers are short and at the front, so half of the changes are there.
        reach = min(len(data), 512) if draw(st.booleans()) else len(data)
        place = draw(st.integers(0, max(0, reach - 1)))
        kind = draw(st.sampled_from(("byte", "number", "cut", "end", "double", "bytes")))
        length = draw(st.integers(1, 64))
        if kind == "byte":
            data[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "number":
            value = draw(st.sampled_from(INTERESTING))
            data[place : place + len(value)] = value
        elif kind == "cut":
            del data[place : place + length]
        elif kind == "end":
            del data[place:]
        elif kind == "double":
            data[place:place] = data[place : place + length] * draw(st.integers(1, 50))
        else:
            data[place:place] = draw(st.binary(max_size=16))
    return Blob(data)


class Blob(bytes):
    """Bytes that do not fill the screen."""

    def __repr__(self) -> str:
        return super().__repr__() if len(self) < 200 else f"<{len(self)} bytes, beginning with {bytes(self[:20])!r}>"
