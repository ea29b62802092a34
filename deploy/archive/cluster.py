"""The Ray cluster: the one of an address, or one on this machine for the time of the command."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cavsync.errors import ConfigError, DataError

CONNECT_SECONDS = 20.0
LOCAL_STORE_BYTES = 128 << 20
"""Shared memory for results on their way, on one machine; Ray's own default is a third of the memory."""
AUTO, LOCAL, CLIENT = "auto", "local", "ray://"
# What a client of HTTP/2, and so of gRPC, says first, with empty SETTINGS; a server answers with SETTINGS (RFC 9113).
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
SETTINGS = 4


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Join the cluster at an address, or start one with all cores of this machine; gives the module `ray`.

    Args:
        address: HOST:PORT of the head; `auto` for the cluster that runs on this machine; `ray://HOST:PORT` of a server
            of Ray Client; None or `local` to start one.

    Raises:
        ConfigError: no cluster answers at the address, or it has other versions.
        DataError: none can be started here.
        ModuleNotFoundError: Ray is not installed.
    """
    # A local run reports nothing to anybody; who runs a cluster decides that there.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = importlib.import_module("ray")
    try:
        if address in (None, LOCAL):
            _start(ray)
        else:
            _join(ray, str(address))
        yield ray
    finally:
        ray.shutdown()


def _start(ray: Any) -> None:
    try:
        ray.init(address=LOCAL, include_dashboard=False, object_store_memory=LOCAL_STORE_BYTES, **_quiet())
    except _errors(ray) as error:
        raise DataError(
            f"Ray cannot be started on this machine ({_words(error)}): free memory and the space of its temporary "
            "folder, or give the --address of a cluster"
        ) from None


def _join(ray: Any, address: str) -> None:
    try:
        if address != AUTO:
            _require_answer(address.removeprefix(CLIENT))
        with warnings.catch_warnings(action="ignore"):
            ray.init(address=address, **_quiet())
    except _errors(ray) as error:
        words = _words(error)
        if "ersion mismatch" in words:
            remedy = "install the same versions of Python and Ray on all machines"
        elif "ray[client]" in words:
            remedy = "pip install 'ray[client]', or give --address HOST:PORT of the cluster's head"
        elif address == AUTO:
            remedy = "start one with ray start, or give --address HOST:PORT of the cluster's head"
        else:
            remedy = "give --address HOST:PORT of its head and, if it asks for a token, set RAY_AUTH_MODE=token"
        told = f"no Ray cluster answers at {address}" if "mismatch" not in words else f"{address} cannot be joined"
        raise ConfigError(f"{told} ({words}): {remedy}") from None


def _require_answer(address: str) -> None:
    """Raise OSError where no server of gRPC answers: Ray itself tries for minutes. ValueError for a wrong address."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return
        connection.sendall(GREETING)
        answer = connection.recv(4)
    if len(answer) < 4 or answer[3] != SETTINGS:
        raise ConnectionError("what answers there is not Ray")


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR}


def _errors(ray: Any) -> tuple[type[Exception], ...]:
    """The exceptions that `ray.init` raises if a cluster, a machine or an address is at fault."""
    return (OSError, RuntimeError, ValueError, ImportError, ray.exceptions.RayError)


def _words(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.300}"
