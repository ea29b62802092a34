"""Who may ask: token, host name, origin; and what every answer carries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from serving import Client
from starlette.testclient import WebSocketDenialResponse

from cavsync.deploy.server.settings import ServerSettings
from cavsync.errors import ConfigError

TOKEN = "0123456789abcdef-token"
PATHS = ("/v1/jobs", "/v1/streams", "/v1/feed", "/v2", "/v2/models/audio_encoder", "/metrics", "/openapi.json")


def test_a_reachable_server_needs_a_token() -> None:
    for settings in ({"host": "0.0.0.0"}, {"host": "::"}, {"host": "192.168.1.2"}, {"allow_hosts": ("sync.example",)}):
        with pytest.raises(ConfigError, match="open to everyone"):
            ServerSettings(**settings)  # type: ignore[arg-type]
        ServerSettings(**settings, token=TOKEN)  # type: ignore[arg-type]
    for host in ("127.0.0.1", "::1", "localhost", "127.8.9.1"):
        ServerSettings(host=host)


def test_weak_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 16"):
        ServerSettings(token="short")
    with pytest.raises(ConfigError, match="is not a folder"):
        ServerSettings(allow_paths=(tmp_path / "missing",))


def test_nothing_is_served_without_the_token(make_client: Callable[..., Client]) -> None:
    client = make_client(token=TOKEN)
    for path in PATHS:
        response = client.get(path)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
        assert "token" in response.json()["error"]
    assert client.post("/v1/jobs", json={"url": "x"}).status_code == 401
    assert client.delete("/v1/streams/x").status_code == 401
    with pytest.raises(WebSocketDenialResponse) as refused, client.stream("one"):
        pass
    assert refused.value.status_code == 401
    for wrong in ("Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer", "Bearer \u00e9".encode("latin-1")):
        assert client.get("/v2", headers={"authorization": wrong}).status_code == 401


def test_the_token_opens_everything(make_client: Callable[..., Client]) -> None:
    client = make_client(token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}"}
    for path in set(PATHS) - {"/v1/feed"}:
        assert client.get(path, headers=headers).status_code == 200, path
    with client.stream("one", headers=headers) as socket:
        socket.send_text('{"type": "start"}')
        assert socket.receive_json()["kind"] == "ready"


def test_health_is_open_and_the_page_asks_for_the_token(make_client: Callable[..., Client]) -> None:
    client = make_client(token=TOKEN)
    assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
    page = client.get("/")
    assert page.status_code == 401
    assert 'type="password"' in page.text
    assert client.get("/page/page.css").status_code == 200


@pytest.mark.parametrize("by_form", [True, False])
def test_a_browser_exchanges_the_token_for_a_cookie(make_client: Callable[..., Client], by_form: bool) -> None:
    client = make_client(token=TOKEN, port=8123)
    wrong = client.post("/login", data={"token": "wrong"}) if by_form else client.get("/?token=wrong")
    assert wrong.status_code == 401
    assert not client.cookies
    if by_form:
        right = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    else:
        right = client.get(f"/?token={TOKEN}", follow_redirects=False)
    # The token leaves the address bar, and the cookie is not the token.
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert cookie.startswith("cavsync_session_8123=")
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert "cavsync live" in client.get("/").text.replace('<span class="soft">', "").replace("</span>", "")
    assert client.get("/v1/streams").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "a b", "[::1"])
def test_a_strangers_name_for_this_server_is_refused(client: Client, host: str) -> None:
    """DNS rebinding: the stranger's page would otherwise count as the same origin."""
    response = client.get("/v1/jobs", headers={"host": host})
    assert response.status_code == 421
    assert "does not answer to the name" in response.json()["error"]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:8000", "[::1]:8000", "192.168.7.7", "LOCALHOST"])
def test_numbers_and_its_own_name_are_fine(client: Client, host: str) -> None:
    assert client.get("/v1/jobs", headers={"host": host}).status_code == 200


def test_names_that_were_allowed(make_client: Callable[..., Client]) -> None:
    client = make_client(token=TOKEN, allow_hosts=("Sync.example",))
    for host, status in (("sync.example", 200), ("other.example", 421)):
        headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
        assert client.get("/v1/jobs", headers=headers).status_code == status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:81", "https://127.0.0.1.x", "http://[", ""]
)
def test_pages_of_others_change_nothing_and_open_no_stream(client: Client, origin: str) -> None:
    headers = {"origin": origin}
    for response in (
        client.post("/v1/jobs", files={"file": ("a.mp4", b"x")}, headers=headers),
        client.delete("/v1/jobs/x", headers=headers),
        client.post("/v2/models/audio_encoder/infer", content=b"{}", headers=headers),
    ):
        assert response.status_code == 403
    with pytest.raises(WebSocketDenialResponse) as refused, client.stream("one", headers=headers):
        pass
    assert refused.value.status_code == 403
    assert client.get("/v1/streams").json() == {"streams": []}


def test_its_own_page_may(client: Client) -> None:
    own = {"origin": "http://127.0.0.1"}
    assert client.delete("/v1/jobs/x", headers=own).status_code == 404
    with client.stream("one", headers=own) as socket:
        socket.send_text('{"type": "start"}')
        assert socket.receive_json()["kind"] == "ready"


def test_every_answer_forbids_what_the_page_does_not_need(client: Client) -> None:
    for path in ("/", "/v1/jobs", "/page/main.js", "/nothing", "/metrics"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", ["../app.py", "..%2fapp.py", "%2e%2e/guard.py", "index.html", "%00.css", "."])
def test_only_the_files_of_the_page(client: Client, name: str) -> None:
    response = client.get(f"/page/{name}")
    assert response.status_code == 404
    assert "import" not in response.text
