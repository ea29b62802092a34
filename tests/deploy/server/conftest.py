"""The application without a network, and a clip to send."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sync_clips import write_clip

from cavsync.deploy import Bundle

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")

from serving import Client


@pytest.fixture(scope="session")
def late_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds whose audio is 300 ms late."""
    return write_clip(tmp_path_factory.mktemp("clips") / "late.mp4", seconds=6, audio_offset_ms=-300)


@pytest.fixture
def make_client(bundle: Bundle) -> Iterator[Callable[..., Client]]:
    """Clients of servers with the given settings."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Client:
            return stack.enter_context(Client(bundle, **settings))

        yield make


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()
