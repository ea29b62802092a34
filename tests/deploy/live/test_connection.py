"""Several containers read side by side: whatever ends one of them is told, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import PATIENCE_SECONDS

from cavsync.deploy.live import connection
from cavsync.deploy.live.connection import _merged

Part = Iterator[tuple[str, Any]]


def test_an_error_of_any_kind_reaches_whoever_takes_the_packets() -> None:
    def failing() -> Part:
        yield "video", 1
        raise ValueError("mine")

    taken: list[object] = []

    def take() -> None:
        try:
            taken.extend(_merged([failing(), failing()], []))
        except ValueError as error:
            taken.append(str(error))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert taken[-1] == "mine"


def test_a_device_that_does_not_let_go_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "JOIN_SECONDS", 0.3)
    let_go = threading.Event()

    def held() -> Part:
        yield "video", 1
        let_go.wait(PATIENCE_SECONDS)

    def ended() -> Part:
        return
        yield

    threads: list[threading.Thread] = []
    packets = _merged([held(), ended()], threads)
    for _ in packets:
        pass
    assert [thread.is_alive() for thread in threads] == [True, False]
    let_go.set()
    threads[0].join(PATIENCE_SECONDS)
    assert not threads[0].is_alive()
