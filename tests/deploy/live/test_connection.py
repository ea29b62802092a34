"""Several containers read side by side: whatever ends one of them is told, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cavsync.deploy.live import connection
from cavsync.deploy.live.connection import _merge

Part = Iterator[tuple[str, Any]]


def test_an_error_of_any_kind_reaches_whoever_takes_the_packets() -> None:
    def failing() -> Part:
        yield "video", 1
        raise ValueError("mine")

    taken: list[object] = []

    def take() -> None:
        try:
            taken.extend(_merge([failing(), failing()], []))
        except ValueError as error:
            taken.append(str(error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert taken[-1] == "mine"


def test_a_device_that_does_not_let_go_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "JOIN_SECONDS", 0.3)
    let_go = threading.Event()

    def held() -> Part:
        yield "video", 1
        let_go.wait(20)

    def ended() -> Part:
        return
        yield

    threads: list[threading.Thread] = []
    begin = time.monotonic()
    packets = _merge([held(), ended()], threads)
    for _ in packets:
        pass
    assert time.monotonic() - begin < 5
    assert [thread.is_alive() for thread in threads] == [True, False]
    let_go.set()
    threads[0].join(5)
    assert not threads[0].is_alive()
