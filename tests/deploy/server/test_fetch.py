"""Files by their address: fetched from where they should be, and from nowhere else."""

from __future__ import annotations

import ipaddress
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from serving import Client
from web_files import WebFiles, web_files

from cavsync.deploy.server.addresses import is_public
from cavsync.deploy.server.fetch import _connection, fetch


@pytest.fixture
def web(tmp_path: Path, late_clip: Path) -> Iterator[WebFiles]:
    shutil.copy(late_clip, tmp_path / "late.mp4")
    with web_files(tmp_path) as files:
        yield files


def test_a_file_on_the_web_is_scored(make_client: Callable[..., Client], web: WebFiles) -> None:
    client = make_client(allow_private_addresses=True)
    web.redirections["moved"] = "/late.mp4"
    for name in ("late.mp4", "moved?x=1"):
        job = client.score_url(web.url(name))
        assert (job["state"], job["summary"]["state"]) == ("done", "audio_late")
    assert web.asked == ["late.mp4", "moved", "late.mp4"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"],
)
def test_this_machine_is_not_asked_under_any_spelling(client: Client, web: WebFiles, host: str) -> None:
    job = client.score_url(web.url("late.mp4", host))
    assert job["state"] in ("failed", "refused")
    assert "internal address" in job["error"]
    assert web.asked == []


def test_a_name_with_one_internal_address_is_not_asked(
    client: Client, web: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, web.port)) for host in ("93.184.216.34", "10.0.0.7")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    assert "internal address" in client.score_url("http://example.test/late.mp4")["error"]


def test_the_connection_goes_to_the_number_that_was_checked(
    make_client: Callable[..., Client], web: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves to something else the second time (DNS rebinding) is not resolved a second time."""
    asked = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: int, **named: int) -> list[object]:
        if host != "rebound.test":
            return real(host, port, *rest, **named)
        asked.append(host)
        # The first answer is this machine, the second one where nobody listens.
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port, *rest, **named)

    client = make_client(allow_private_addresses=True)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    job = client.score_url(web.url("late.mp4", "rebound.test"))
    assert (job["state"], asked) == ("done", ["rebound.test"])


def test_a_redirection_is_checked_like_the_address(
    make_client: Callable[..., Client], web: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cavsync.deploy.server.fetch as fetch_module

    real = fetch_module.resolve
    # The first address counts as public, whatever it is; the target must stand on its own.
    monkeypatch.setattr(
        fetch_module,
        "resolve",
        lambda url, allow_private: real(url, allow_private=url.path == "/moved"),
    )
    client = make_client()
    for target in (web.url("late.mp4"), "http://169.254.169.254/latest/meta-data", "http://[fd00::1]/x"):
        web.redirections["moved"] = target
        assert "internal address" in client.score_url(web.url("moved"))["error"]
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/x", "concat:/etc/passwd|/etc/hosts"):
        web.redirections["moved"] = target
        job = client.score_url(web.url("moved"))
        assert job["state"] == "failed"
        assert "root:" not in job["error"]
    assert set(web.asked) == {"moved"}


def test_nothing_is_asked_for_a_job_that_was_cancelled(web: WebFiles) -> None:
    web.redirections["moved"] = "/late.mp4"

    class CancelledError(Exception):
        pass

    def after(count: int) -> Callable[[], None]:
        calls = iter(range(count))

        def check() -> None:
            if next(calls, None) is None:
                raise CancelledError

        return check

    limits = {"limit_bytes": 10**6, "limit_seconds": 10.0, "allow_private": True}
    for count, asked in ((0, []), (1, ["moved"])):
        with pytest.raises(CancelledError):
            fetch(web.url("moved"), check=after(count), **limits)  # type: ignore[arg-type]
        assert web.asked == asked


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_an_ipv6_number_without_a_port_has_the_schemes_own(scheme: str, port: int) -> None:
    """Its last group is no port."""
    number = "2606:4700::1111"
    for place, wanted in ((f"[{number}]", port), (f"[{number}]:8080", 8080)):
        connection = _connection(urlsplit(f"{scheme}://{place}/x"), number)
        assert (connection.host, connection.port) == (number, wanted)


def test_redirections_end(make_client: Callable[..., Client], web: WebFiles) -> None:
    client = make_client(allow_private_addresses=True)
    web.redirections["moved"] = "/moved"
    assert "redirects more than" in client.score_url(web.url("moved"))["error"]
    assert len(web.asked) == 6


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "/etc/passwd", "concat:/etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd"),
        *("data:video/mp4;base64,AAAA", "pipe:0", "fd:0", "crypto:/etc/passwd", "async:file:/etc/passwd"),
        *("gopher://127.0.0.1/", "rtsp://127.0.0.1/x", "tcp://127.0.0.1:22", "http://", "http:///x", "//127.0.0.1/x"),
        *("http://user:word@example.org/x", "http://exa mple.org/", "http://example.org:99999/", "lavfi:testsrc", ""),
        "http://example.org/\r\nX-Injected: 1",
    ],
)
def test_no_other_kind_of_address(client: Client, url: str) -> None:
    job = client.score_url(url)
    assert job["state"] == "refused", job
    assert job["status"] in (400, 403)
    assert "root:" not in job["error"]


def test_what_the_web_answers_wrongly_is_a_sentence(make_client: Callable[..., Client], web: WebFiles) -> None:
    client = make_client(allow_private_addresses=True, max_body_bytes=100_000)
    (web.folder / "large.mp4").write_bytes(b"x" * 100_001)
    web.cut_short.add("late.mp4")
    for name, words in (
        ("missing.mp4", "status 404"),
        ("large.mp4", "larger than 100000"),
        ("late.mp4", "closed the connection"),
    ):
        job = client.score_url(web.url(name))
        assert (job["state"], words in job["error"]) == ("failed", True), job
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    assert "cannot be read" in client.score_url(f"http://127.0.0.1:{port}/x")["error"]


def test_addresses_that_are_not_public() -> None:
    """Against the registries of IANA, each with a case."""
    internal = (
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
        *("192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1"),
        *(
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001:db8::1",
        ),
        *("2002:7f00:1::", "2002:a00:1::1", "fc00::1", "fe80::1", "ff02::1", "2001:0:7f00:1::", "fec0::1"),
    )
    public = ("1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1")
    assert [text for text in internal if is_public(ipaddress.ip_address(text))] == []
    assert [text for text in public if not is_public(ipaddress.ip_address(text))] == []
