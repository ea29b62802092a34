"""An in-process client of the server's application."""

from __future__ import annotations

import json
import time
from typing import Any

from fastapi.testclient import TestClient
from waiting import PATIENCE_SECONDS

from cavsync.deploy import Bundle
from cavsync.deploy.server.app import create_app
from cavsync.deploy.server.settings import ServerSettings

HOST = "127.0.0.1"


class Client(TestClient):
    """A client of an application with the given settings, under the host name of this machine."""

    def __init__(self, bundle: Bundle, **settings: Any) -> None:
        super().__init__(create_app(bundle, ServerSettings(**settings)), base_url=f"http://{HOST}")

    def stream(self, name: str, **options: Any) -> Any:
        return self.websocket_connect(f"ws://{HOST}/v1/streams/{name}", **options)

    def finished(self, location: str) -> dict[str, Any]:
        """Wait for a job to end and return it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(location).json()
            if job["state"] not in ("queued", "running"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"the job is still {job['state']}")

    def score_url(self, url: str) -> dict[str, Any]:
        """Submit an address and wait for the job to end; a refusal counts as its end."""
        response = self.post("/v1/jobs", json={"url": url})
        if response.status_code != 202:
            return {"state": "refused", "status": response.status_code, **response.json()}
        return self.finished(response.headers["location"])


def answers_until(socket: Any, kind: str) -> list[dict[str, Any]]:
    """Return the messages of a stream up to the first of this kind."""
    found = [json.loads(socket.receive_text())]
    while found[-1]["kind"] != kind:
        found.append(json.loads(socket.receive_text()))
    return found
