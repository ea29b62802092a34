"""Damaged requests and messages: answered with a status below 500, or with a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_bundle import write_fake_bundle
from fuzzing import damaged, fuzz
from hypothesis import strategies as st
from sync_clips import write_clip

pytest.importorskip("fastapi", reason="the server needs the extra 'serve'")

from serving import HOST, Client
from starlette.websockets import WebSocketDisconnect

from cavsync.deploy import Bundle

TOKEN = "0123456789abcdef-token"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
ANYTHING = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    bundle = Bundle.open(write_fake_bundle(tmp_path_factory.mktemp("bundle") / "bundle"), threads=1)
    with Client(bundle) as client:
        yield client


def test_bodies(client: Client, tmp_path: Any) -> None:
    clip = write_clip(tmp_path / "clip.mkv", seconds=0.4).read_bytes()
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mkv"\r\n\r\n' + clip + b"\r\n--b--\r\n"
    option = b'--b\r\nContent-Disposition: form-data; name="window_seconds"\r\n\r\n2\r\n' + form
    inference = json.dumps(
        {"inputs": [{"name": "waveform", "shape": [1, 400], "datatype": "FP32", "data": [0.0] * 400}]}
    ).encode()
    url = b'{"url": "http://192.0.2.1/a.mp4", "window_seconds": 2, "profile": "ebu-r37"}'
    texts = JSON.map(lambda value: json.dumps(value).encode())
    requests = st.one_of(
        st.tuples(st.just("/v1/jobs"), st.just(MULTIPART), damaged([form, option], most=3)),
        st.tuples(st.sampled_from(["/v1/jobs", "/v1/streams", "/login"]), st.just(ANYTHING), damaged([url]) | texts),
        st.tuples(st.just("/v2/models/audio_frontend/infer"), st.just(ANYTHING), damaged([inference]) | texts),
        st.tuples(
            st.just("/v2/models/audio_frontend/infer"),
            st.integers(-1, 2000).map(lambda size: {**ANYTHING, "Inference-Header-Content-Length": str(size)}),
            damaged([inference + bytes(1600)]),
        ),
    )

    def send(request: tuple[str, dict[str, str], bytes]) -> None:
        path, headers, body = request
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code == 202:
            job = client.finished(answer.headers["location"])
            assert job["state"] in ("done", "failed")
            assert "its log" not in str(job["error"])
            client.delete(answer.headers["location"])

    fuzz("bodies", send, requests, examples=60)


def test_headers(client: Client) -> None:
    """Tokens, cookies, hosts and origins, as bytes that no header should hold; without the token, nothing is shown."""
    with Client(client.app.state.services.bundle, token=TOKEN) as closed:  # type: ignore[attr-defined]
        cookie = f"cavsync_session_8000={TOKEN}; a=b".encode()
        values = damaged([b"Bearer " + TOKEN.encode(), cookie, b"http://127.0.0.1:8000", b"[::1]:80"]) | st.binary()
        visible = values.map(lambda value: bytes(byte for byte in value if byte >= 32 and byte != 127))
        names = st.sampled_from(["authorization", "cookie", "host", "origin", "content-type", "x-forwarded-for"])

        def ask(case: tuple[str, dict[str, bytes], bytes]) -> None:
            method, headers, token = case
            # Damage can leave the token itself whole.
            allowed = any(TOKEN.encode() in headers.get(name, b"") for name in ("authorization", "cookie"))
            for one in (client, closed):
                answer = one.request(method, "/v1/streams", headers=headers)
                assert answer.status_code in (200, 400, 401, 403, 413, 421)
                if one is closed and not allowed:
                    assert answer.status_code != 200
            page = closed.get("/", params={"token": token}, headers=headers)
            assert allowed or page.status_code in (401, 421)
            assert closed.post("/login", content=b"token=" + token).status_code in (401, 413)

        methods = st.sampled_from(["GET", "POST"])
        fuzz(
            "headers",
            ask,
            st.tuples(methods, st.dictionaries(names, visible, max_size=3), st.binary(max_size=40)),
            examples=40,
        )


def test_messages(client: Client) -> None:
    """Of a live stream: each is answered or ignored, and the stream goes on or is closed with a reason."""
    frame = b'{"type": "video", "pts_seconds": 0.04, "format": "rgb24", "width": 4, "height": 2}\n' + bytes(24)
    sound = b'{"type": "audio", "pts_seconds": 0.0, "format": "f32le", "sample_rate_hz": 16000, "channels": 1}\n'
    sound += np.zeros(640, "<f4").tobytes()
    control = b'{"type": "start", "window_seconds": 2, "search_ms": 200}'
    texts = (damaged([control]).map(lambda data: data.decode("utf-8", "replace"))) | JSON.map(json.dumps)
    messages = st.lists(damaged([frame, sound]) | texts | st.sampled_from([frame, sound]), min_size=1, max_size=8)

    codes: list[int] = []

    def push(sent: list[bytes | str]) -> None:
        with client.websocket_connect(f"ws://{HOST}/v1/streams/fuzz") as socket:
            try:
                for message in sent:
                    if isinstance(message, bytes):
                        socket.send_bytes(message)
                    else:
                        socket.send_text(message)
                socket.send_text('{"type": "flush"}')
                kinds = []
                while "ended" not in kinds:
                    kinds.append(json.loads(socket.receive_text())["kind"])
            except WebSocketDisconnect as end:
                codes.append(end.code)

        # 1011 means that the server failed.
        assert 1011 not in codes

    fuzz("messages", push, messages, examples=40)
