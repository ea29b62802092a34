"""The live page of a stream with a face, in a real browser: its picture, mouth and sound, and the path of verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_clips import closed, frames_of, speaking
from live_sender import audio_chunk, frame_chunk
from server_process import ServerProcess, serving
from sync_clips import make_audio
from waiting import PATIENCE_SECONDS
from websockets.sync.client import ClientConnection, connect

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")
SECONDS = 8


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


def chunks() -> list[bytes]:
    """Two faces, of which the left one speaks; the sound is 300 ms late."""
    times = np.arange(25 * SECONDS) / 25
    samples = make_audio(0.0, 640 * len(times), audio_offset_ms=-300.0)
    found = []
    for index, frame in enumerate(frames_of(speaking(times), closed(times))):
        found.append(frame_chunk(float(times[index]), frame))
        found.append(audio_chunk(float(times[index]), samples[640 * index : 640 * (index + 1)]))
    return found


def push(socket: ClientConnection, part: list[bytes]) -> None:
    for chunk in part:
        socket.send(chunk)


def opened(browser: Any, server: ServerProcess, **options: Any) -> tuple[Any, list[str], list[str]]:
    """A page, its complaints and the addresses that it asked for."""
    page = browser.new_page(**options)
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server.url)
    return page, complaints, asked


def test_the_card_and_the_stream_show_the_face(face_bundle_path: Path, browser: Any) -> None:
    sent = chunks()
    with serving(face_bundle_path, "--path", "face") as server, connect(f"{server.ws_url}/v1/streams/studio") as socket:
        page, complaints, asked = opened(browser, server, viewport={"width": 390, "height": 844})
        push(socket, sent[:300])
        card = page.get_by_role("button", name=re.compile("studio"))
        card.get_by_role("img", name=re.compile("Opening of the mouth")).wait_for()
        # The page asked, so that the next frame becomes a picture.
        push(socket, sent[300:])
        card.get_by_role("img", name=re.compile("The face that")).wait_for()
        card.get_by_text(re.compile(r"\u00b7 face")).wait_for()
        detail = page.get_by_role("region", name="studio")
        assert (
            detail.get_by_role("img", name=re.compile("The face that")).evaluate("image => image.naturalWidth") == 192
        )
        detail.get_by_text(re.compile(r"with the audio advanced by (29|30|31)\d? ms")).wait_for()
        likeness = [page.evaluate(LIKENESS, place) for place in (0, 1)]
        assert likeness[0] < 0.6
        assert likeness[1] > 0.95
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert any(url.endswith("/v1/streams/studio/face") for url in asked)
        assert complaints == []
        page.close()


LIKENESS = """(place) => {
  const chart = document.querySelectorAll('#face-chart svg')[place];
  const [mouth, sound] = ['.mouth', '.sound'].map((name) => chart.querySelector(name).getAttribute('d')
    .match(/[-\\d.]+ [-\\d.]+/g).map((pair) => pair.split(' ').map(Number)));
  const nearer = (x) => (a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a;
  const at = (line, x) => line.reduce(nearer(x))[1];
  const [low, high] = [Math.max(mouth[0][0], sound[0][0]), Math.min(mouth.at(-1)[0], sound.at(-1)[0])];
  const pairs = mouth.slice(1, -1).filter(([x]) => x >= low && x <= high).map(([x, y]) => [y, at(sound, x)]);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b] = [0, 1].map((side) => mean(pairs.map((pair) => pair[side])));
  const product = (f, g) => mean(pairs.map((pair) => f(pair) * g(pair)));
  const [left, right] = [(pair) => pair[0] - a, (pair) => pair[1] - b];
  return product(left, right) / Math.sqrt(product(left, left) * product(right, right));
}"""


def test_no_thumbnails_leaves_the_chart(face_bundle_path: Path, browser: Any) -> None:
    with (
        serving(face_bundle_path, "--path", "face", "--no-thumbnails") as server,
        connect(f"{server.ws_url}/v1/streams/studio") as socket,
    ):
        page, complaints, _ = opened(browser, server)
        push(socket, chunks())
        page.locator("#face-chart svg").first.wait_for()
        # Two answers, between which a picture would have been made.
        for _ in range(2):
            with page.expect_response(re.compile("/v1/streams/studio/face")) as response:
                pass
            assert response.value.json()["picture"] is None
        assert page.locator("img").count() == 0
        assert complaints == []
        page.close()
