"""The options and limits of a server."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from cavsync.deploy.live import parse_address
from cavsync.deploy.stream.options import DEFAULT_OPTIONS, ScoringOptions
from cavsync.errors import ConfigError

MEBIBYTE = 1 << 20
MIN_TOKEN_LETTERS = 16
# One uncompressed 4K frame with its header.
MAX_CHUNK_BYTES = 32 * MEBIBYTE
MAX_JSON_BYTES = 64 * 1024
MAX_INFERENCE_BYTES = 64 * MEBIBYTE
MAX_INFERENCE_JSON_BYTES = 8 * MEBIBYTE
"""Numbers written as text take many times their size once parsed."""
MAX_INFERENCES = 4
"""Requests to /v2 received or computed at once."""
MAX_WATCHERS = 64
"""Live pages connected at once."""
KEPT_RESULTS = 100
STREAM_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True)
class ServerSettings:
    """Options of `cavsync serve`.

    Args:
        host, port: address to listen on.
        token: secret that clients must send; required where other machines can reach the server.
        allow_hosts: host names under which a reverse proxy forwards requests.
        allow_paths: folders of this machine whose files may be scored by their path.
        allow_private_addresses: whether loopback and private addresses may be fetched.
        max_body_bytes: largest upload and largest fetched file.
        max_duration_seconds: longest file that is scored, and longest time an upload or a download may take.
        max_client_connections: connections that one client address may have open.
        max_client_uploads: bodies that one client address may send at a time; others of it wait. Fewer than
            `MAX_INFERENCES`, so that no client alone takes all of those.
        min_upload_bytes_per_second: slowest upload, over `slow_upload_seconds`.
        slow_upload_seconds: how long an upload may be slower than that.
        header_seconds: how long a connection may take to send the headers of a request.
        max_streams: live streams at a time.
        max_jobs: jobs that wait or run at a time.
        workers: jobs that run at a time.
        engine_workers: batches of streams and files computed at a time.
        keep_results_seconds: how long a finished job is kept; at most `KEPT_RESULTS` are.
        idle_seconds: how long a stream may send nothing.
        thumbnails: whether the live page and the reports of jobs may show pictures of faces.
        watch: (name, address) of live sources that the server opens itself.
        scoring: options for the sources of `watch`, and the defaults for clients.

    Raises:
        ConfigError: a value that cannot be used, or no token although other machines can reach it.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_paths: tuple[Path, ...] = ()
    allow_private_addresses: bool = False
    max_body_bytes: int = 1024 * MEBIBYTE
    max_duration_seconds: float = 3600.0
    max_client_connections: int = 128
    max_client_uploads: int = 3
    min_upload_bytes_per_second: int = 4096
    slow_upload_seconds: float = 10.0
    header_seconds: float = 10.0
    max_streams: int = 16
    max_jobs: int = 16
    workers: int = 1
    engine_workers: int = 1
    keep_results_seconds: float = 3600.0
    idle_seconds: float = 60.0
    thumbnails: bool = True
    watch: tuple[tuple[str, str], ...] = ()
    scoring: ScoringOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        reach = None if is_loopback(self.host) else f"on {self.host}"
        if reach is None and self.allow_hosts:
            reach = f"as {self.allow_hosts[0]}"
        if reach is not None and self.token is None:
            raise ConfigError(f"the server would be open to everyone {reach}: give a --token, or listen on 127.0.0.1")
        if self.token is not None and (len(self.token) < MIN_TOKEN_LETTERS or not self.token.isascii()):
            raise ConfigError(
                f"the token has {len(self.token)} letters: give at least {MIN_TOKEN_LETTERS} ASCII letters, for "
                "example from `openssl rand -hex 24`"
            )
        for path in self.allow_paths:
            if not path.is_dir():
                raise ConfigError(f"{path} is not a folder: give folders to --allow-path")
        self._check_watched()

    def _check_watched(self) -> None:
        names = [name for name, _ in self.watch]
        for name, url in self.watch:
            if not STREAM_NAME.fullmatch(name):
                raise ConfigError(f"--watch cannot call a stream {name!r:.80}: use 1 to 64 of A-Z a-z 0-9 . _ -")
            if names.count(name) > 1:
                raise ConfigError(f"--watch names {name} more than once: give each source a name of its own")
            parse_address(url)
        if len(names) > self.max_streams:
            raise ConfigError(
                f"--watch names {len(names)} sources, {self.max_streams} streams are allowed: raise --max-streams"
            )

    @property
    def url(self) -> str:
        """Address of the live page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
