"""Download a file from an address given by a client, without letting it lead to internal addresses.

FFmpeg would follow redirections and references without checks, so it never sees the address: the body is fetched here,
each redirection is checked like the first address, and the connection goes to the numeric address that was checked.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from typing import IO
from urllib.parse import SplitResult, urljoin, urlsplit

from cavsync.deploy.server.addresses import resolve
from cavsync.deploy.server.refusals import RefusalError
from cavsync.errors import MediaError

SCHEMES = ("http", "https")
REDIRECTIONS = (301, 302, 303, 307, 308)
MAX_REDIRECTIONS = 5
TIMEOUT_SECONDS = 10.0
PIECE_BYTES = 1 << 18


def checked_url(text: str) -> SplitResult:
    """Parse `text` as an http or https address.

    Raises:
        RefusalError: another scheme, no host, or a user name in the address.
    """
    try:
        url = urlsplit(text)
        is_usable = url.scheme in SCHEMES and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not text.isprintable() or " " in text:
        raise RefusalError(
            400, f"{text!r:.100} is not the address of a file on the web: give an http:// or https:// URL"
        )
    if url.username is not None:
        raise RefusalError(400, "the URL contains a user name: give one without")
    return url


def fetch(
    text: str,
    *,
    limit_bytes: int,
    limit_seconds: float,
    allow_private: bool,
    check: Callable[[], None] = lambda: None,
) -> IO[bytes]:
    """Download the file at an address into a nameless temporary file.

    `check` is called before each request and between the pieces of the body; it may raise to stop the download.

    Raises:
        RefusalError: the address, or the target of a redirection, may not be fetched.
        MediaError: the host does not answer with a file, or the file is too large or too slow.
    """
    deadline = time.monotonic() + limit_seconds
    for _ in range(MAX_REDIRECTIONS + 1):
        check()
        url = checked_url(text)
        connection = _connection(url, resolve(url, allow_private=allow_private))
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("GET", target, headers={"Accept-Encoding": "identity", "User-Agent": "cavsync"})
            response = connection.getresponse()
            if response.status in REDIRECTIONS and (location := response.getheader("location")):
                text = urljoin(text, location)
                continue
            if response.status != 200:
                raise MediaError(f"{url.netloc} answers with status {response.status}: give the address of a file")
            return _body(response, url.netloc, limit_bytes, deadline, check)
        except (OSError, http.client.HTTPException) as error:
            raise MediaError(f"{url.netloc} cannot be read ({error or type(error).__name__}): try again") from None
        finally:
            connection.close()
    raise MediaError(f"{text!r:.100} redirects more than {MAX_REDIRECTIONS} times: give the final address")


def _connection(url: SplitResult, number: str) -> http.client.HTTPConnection:
    assert url.hostname is not None
    kind = _PinnedHTTPS if url.scheme == "https" else _Pinned
    # Without an explicit port, http.client takes the last group of an IPv6 address for the port.
    return kind(url.hostname, url.port or kind.default_port, number)


class _Pinned(http.client.HTTPConnection):
    """A connection to the address `number`, independent of what the host name resolves to later."""

    def __init__(self, host: str, port: int, number: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._number = number

    def connect(self) -> None:
        self.sock = socket.create_connection((self._number, self.port), self.timeout)


class _PinnedHTTPS(_Pinned):
    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _body(
    response: http.client.HTTPResponse, host: str, limit_bytes: int, deadline: float, check: Callable[[], None]
) -> IO[bytes]:
    # The file has no name, so nothing is left behind even if the server is killed.
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        size = 0
        while piece := response.read1(PIECE_BYTES):
            check()
            size += len(piece)
            if size > limit_bytes:
                raise MediaError(f"the file from {host} is larger than {limit_bytes} bytes: raise --max-body-mb")
            if time.monotonic() > deadline:
                raise MediaError(f"the file from {host} did not arrive in time: raise --max-duration-seconds")
            file.write(piece)
        if response.length:
            raise MediaError(
                f"{host} closed the connection {response.length} bytes before the end: try again", reason="truncated"
            )
    except BaseException:
        file.close()
        raise
    return file
