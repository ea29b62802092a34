"""The Ray cluster: the one of an address, or one on this machine for the time of the command."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cavsync.errors import ConfigError

CONNECT_SECONDS = 20.0
LOCAL_STORE_BYTES = 128 << 20
"""Shared memory for results on their way, on one machine; Ray's own default is a third of the memory."""


@contextmanager
def cluster(address: str | None) -> Iterator[Any]:
    """Join the cluster at an address, or start one with all cores of this machine; gives the module `ray`.

    Raises:
        ConfigError: no cluster answers at the address.
        ModuleNotFoundError: Ray is not installed.
    """
    # A local run reports nothing to anybody; who runs a cluster decides that there.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = importlib.import_module("ray")
    try:
        _join(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        ray.init(address="local", include_dashboard=False, object_store_memory=LOCAL_STORE_BYTES, **quiet)
        return
    try:
        host, _, port = address.rpartition(":")
        # Ray itself tries a silent address for minutes.
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address} ({' '.join(str(error).split()):.160}): give --address HOST:PORT of "
            "its head and, if it asks for a token, set RAY_AUTH_MODE=token"
        ) from None
