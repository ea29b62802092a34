"""What `cavsync serve` is told to watch and how to score is checked before it listens."""

from __future__ import annotations

import pytest

from cavsync.deploy import Bundle, ScoringOptions
from cavsync.deploy.server.app import create_app
from cavsync.deploy.server.settings import ServerSettings
from cavsync.errors import ConfigError

UDP = "udp://127.0.0.1:9999"


@pytest.mark.parametrize(
    ("watch", "words"),
    [
        ((("one", "foo://x"),), "has an unknown scheme"),
        ((("one", "rtsp://"),), "has no host"),
        ((("my cam", UDP),), "'my cam'"),
        ((("a" * 65, UDP),), "1 to 64"),
        ((("one", UDP), ("one", UDP)), "more than once"),
        ((("one", UDP), ("two", UDP), ("three", UDP)), "--max-streams"),
    ],
)
def test_sources_that_cannot_be_watched(watch: tuple[tuple[str, str], ...], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ServerSettings(watch=watch, max_streams=2)
    assert words in str(refused.value)


def test_a_grid_that_the_bundle_cannot_have(bundle: Bundle) -> None:
    settings = ServerSettings(scoring=ScoringOptions(hop_ms=400.0))
    with pytest.raises(ConfigError, match=r"hops of 400 ms.* at least two hops"):
        create_app(bundle, settings)
