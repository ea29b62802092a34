"""What keeps an archive from its cluster is one sentence with what to do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from cavsync.deploy.archive.cluster import GREETING
from cavsync.deploy.archive.cluster import cluster as joined
from cavsync.errors import CavsyncError, ConfigError, DataError


class RayError(Exception):
    """As in Ray."""


def fake_ray(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Ray whose `init` fails; returns the addresses that it was asked for."""
    asked: list[str] = []

    def init(address: str, **_: Any) -> None:
        asked.append(address)
        if error is not None:
            raise error

    ray = SimpleNamespace(init=init, shutdown=lambda: None, exceptions=SimpleNamespace(RayError=RayError))
    monkeypatch.setitem(sys.modules, "ray", ray)
    return asked


def sentence(address: str | None, kind: type[CavsyncError] = ConfigError) -> str:
    with pytest.raises(kind) as caught, joined(address):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def server() -> Iterator[str]:
    """A server that greets as one of gRPC does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(len(GREETING)) == GREETING
                connection.sendall(bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))

        thread = Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_a_real_cluster_of_another_version(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "__version__", "2.0.0")
    said = sentence(cluster[0])
    assert said.startswith(f"{cluster[0]} cannot be joined (Version mismatch: The cluster was started with: Ray: ")
    assert said.endswith("): install the same versions of Python and Ray on all machines")


def test_something_else_answers(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would ask it for minutes."""
    asked = fake_ray(None, monkeypatch)
    for address in (web.removeprefix("http://"), web.replace("http", "ray")):
        said = sentence(address)
        assert said.startswith(f"no Ray cluster answers at {address} (what answers there is not Ray): give --address")
    assert asked == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999"])
def test_nothing_answers(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_ray(None, monkeypatch)
    assert sentence(address).startswith(f"no Ray cluster answers at {address} (")
    assert asked == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionError("ray client connection timeout"), "set RAY_AUTH_MODE=token"),
        (ValueError("Ray Client requires pip package `ray[client]`."), "pip install 'ray[client]', or give --address"),
        (RuntimeError("Starting Ray client server failed.\nSee the log."), "set RAY_AUTH_MODE=token"),
        (RuntimeError("Version mismatch: Python: 3.10.1"), "install the same versions of Python and Ray"),
        (RayError("no token"), "set RAY_AUTH_MODE=token"),
    ],
)
def test_a_server_that_cannot_be_joined(
    server: str, error: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake_ray(error, monkeypatch)
    said = sentence(f"ray://{server}")
    assert f"ray://{server}" in said
    assert " ".join(str(error).split()) in said
    assert words in said
    assert asked == [f"ray://{server}"]


def test_no_cluster_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_ray(ConnectionError("Could not find any running Ray instance."), monkeypatch)
    assert "start one with ray start, or give --address HOST:PORT" in sentence("auto")
    assert asked == ["auto"]


def test_no_cluster_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (OSError(28, "No space left on device"), RuntimeError("Failed to start GCS.")):
        asked = fake_ray(error, monkeypatch)
        for address in (None, "local"):
            said = sentence(address, DataError)
            assert said.startswith(f"Ray cannot be started on this machine ({error}): free memory and the space of its")
        assert asked == ["local", "local"]


def test_defects_keep_their_traceback(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ray(TypeError("no such option"), monkeypatch)
    with pytest.raises(TypeError), joined(server):
        pass
