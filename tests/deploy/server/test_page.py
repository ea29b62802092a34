"""The live page in a real browser: it shows an alarm while a stream goes out of sync, and everyone can use it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from live_sender import course_chunks, send
from server_process import ServerProcess, serving
from waiting import PATIENCE_SECONDS

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")

CHROMIUM = Path("/usr/bin/chromium")
TOKEN = "token-of-the-test"
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def server(bundle_path: Path) -> Iterator[ServerProcess]:
    # What was sent once is there for every test.
    with serving(bundle_path, "--idle-seconds", "7200") as process:
        threads = [
            sender(process, "good", 14, 2.0, seed=1),
            sender(process, "slipping", 15, 2.0, seed=2, offset_ms=-300, from_seconds=7.0),
            sender(process, "silent", 14, 2.0, seed=3, silent=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        yield process


class Watched:
    """A page whose console, errors and requests are written down."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(1000 * PATIENCE_SECONDS)
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(re.sub(r"^(\w+://[^/]+).*", r"\1", request.url)))
        self.page.goto(url)


def sender(server: ServerProcess, name: str, seconds: float, speed: float, **course: Any) -> threading.Thread:
    """Sends in the background once it is started; the chunks are made before."""
    chunks = list(course_chunks(seconds, **course))
    return threading.Thread(target=send, args=(f"{server.ws_url}/v1/streams/{name}", chunks), kwargs={"speed": speed})


@pytest.fixture(scope="module")
def watched(server: ServerProcess, browser: Any) -> Iterator[Watched]:
    """A page that all tests share."""
    watched = Watched(browser, server.url, viewport={"width": 1280, "height": 900})
    yield watched
    watched.page.close()


def test_an_alarm_appears_while_a_stream_goes_out_of_sync(server: ServerProcess, watched: Watched) -> None:
    page = watched.page
    page.get_by_role("status").get_by_text("Connected").wait_for()
    sending = sender(server, "leaving", 20, 1.0, seed=2, offset_ms=-300, from_seconds=7.0)
    sending.start()
    alarm = page.get_by_role("alert")
    card = page.get_by_role("button", name=re.compile("leaving"))
    card.get_by_text("In sync").wait_for()
    assert alarm.text_content() == ""
    assert page.title() == "cavsync live"
    alarm.get_by_text(re.compile(r"leaving: audio late since .*\(\u2212\d+ ms\)")).wait_for()
    assert page.title().startswith("(1) out of sync")
    assert card.get_by_text("out of sync").is_visible()
    card.get_by_text(re.compile("Audio late by (29|30|31).* ms")).wait_for()
    sending.join(PATIENCE_SECONDS)
    # The end of the stream ends the alarm, and says so.
    alarm.get_by_text("leaving: the alarm is over").wait_for()
    card.get_by_text("ended").wait_for()


def test_every_stream_has_a_card(watched: Watched) -> None:
    page = watched.page
    silent = page.get_by_role("button", name=re.compile("silent"))
    silent.get_by_text("the audio is silent").wait_for()
    page.get_by_role("button", name=re.compile("good")).get_by_text("In sync").wait_for()


def test_the_chosen_stream_is_drawn(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("button", name=re.compile("slipping")).click()
    page.get_by_role("heading", name="slipping").wait_for()
    page.locator("#numbers").get_by_text("Drift").wait_for()
    assert page.url.endswith("#slipping")
    region = page.get_by_role("region", name="slipping")
    offsets = region.get_by_role("img", name=re.compile(r"Offset over time: now \u2212(29|30|31)\d ms"))
    offsets.wait_for()
    # As many marks as decisions with an offset inside the axis, dots for in sync and triangles for late.
    late, in_sync = (offsets.locator(f"path.mark.{state}").count() for state in ("audio_late", "in_sync"))
    assert late >= 8
    assert in_sync >= 8
    assert offsets.locator("rect.band").count() == 1
    # The band lies where the profile says: its height is 170 ms of the axis.
    low, high = (float(offsets.locator("line.limit").nth(index).get_attribute("y1") or 0) for index in (1, 0))
    zero = float(offsets.locator("line.zeroline").get_attribute("y1") or 0)
    assert (zero - high) / (low - zero) == pytest.approx(45 / 125, rel=0.01)
    # The heat map has both extremes of its colours.
    colours = page.evaluate(
        """() => { const canvas = document.querySelector('#heat-chart canvas');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const found = new Set(); for (let i = 0; i < data.length; i += 4) found.add(data.slice(i, i + 4).join());
        return [...found]; }"""
    )
    assert "13,17,48,255" in colours
    assert "248,230,92,255" in colours
    events = region.get_by_role("listitem").all_text_contents()
    assert any(text.startswith("Audio late") for text in events)
    assert any(text.startswith("Open when the stream ended: audio late") for text in events)
    region.get_by_text("Latest decisions as a table").click()
    region.get_by_role("cell", name="audio late").nth(2).wait_for()


def test_a_page_opened_later_knows_the_past(server: ServerProcess, browser: Any) -> None:
    later = Watched(browser, f"{server.url}/#slipping", viewport={"width": 390, "height": 844}, color_scheme="dark")
    later.page.get_by_role("img", name=re.compile("Offset over time: now")).wait_for()
    assert later.page.locator("#offset-chart path.mark.audio_late").count() >= 8
    # Nothing is wider than the phone.
    assert later.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert later.complaints == []
    later.page.close()


def test_a_file_is_scored_from_the_page(watched: Watched, late_clip: Path) -> None:
    page = watched.page
    page.get_by_label("Video file to score").set_input_files(late_clip)
    page.get_by_role("button", name="Score", exact=True).click()
    page.locator("#jobs").get_by_text("Audio late by 30").wait_for()
    with page.expect_navigation():
        page.get_by_role("link", name="Report of late.mp4").click()
    assert page.get_by_role("heading", name="Audio-visual sync report").is_visible()
    page.go_back()
    page.get_by_role("status").get_by_text("Connected").wait_for()


def test_the_page_asks_nobody_else_and_complains_of_nothing(server: ServerProcess, watched: Watched) -> None:
    assert watched.hosts == {server.url}
    assert watched.complaints == []


def test_the_keyboard_reaches_everything(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("button", name=re.compile("good")).wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUS)
        reached.append(name)
        # Whoever has the focus shows it.
        assert outline != "none" or name == "", name
        if reached[-1] == "silent":
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="silent").wait_for()
    for name in ("Skip to the streams", "good", "silent", "slipping", "span", "file", "Score", "Metrics"):
        assert name in reached, (name, reached)
    assert reached.index("good") < reached.index("span") < reached.index("file")


FOCUS = """() => { const e = document.activeElement; return e === document.body ? ['', ''] :
[(e.id || e.innerText).split('\\n')[0], getComputedStyle(e).outlineStyle]; }"""

CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const opaque = (e) => parse(getComputedStyle(e).backgroundColor)[3] !== 0;
  const behind = (e) => { while (!opaque(e)) e = e.parentElement; return parse(getComputedStyle(e).backgroundColor); };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(element.closest('svg') ? style.fill : style.color)), light(behind(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.textContent.trim()]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(server: ServerProcess, browser: Any, scheme: str) -> None:
    """WCAG 2.2 AA asks for 4.5 to 1, computed from the colours that the browser uses."""
    page = Watched(browser, f"{server.url}/#slipping", color_scheme=scheme).page
    page.get_by_role("img", name=re.compile("Offset over time: now")).wait_for()
    found = page.evaluate(CONTRAST)
    assert len(found) > 60
    assert [(round(ratio, 2), text) for ratio, text in found if ratio < 4.5] == []
    page.close()


def test_landmarks_headings_and_names(watched: Watched) -> None:
    page = watched.page
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].filter(h => h.checkVisibility()).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = page.evaluate(
        """[...document.querySelectorAll('button,a,input,select,summary,[role=img],[role=region]')].filter((e) =>
        !(e.innerText?.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    pressed = page.locator(".stream[aria-pressed=true]")
    assert pressed.count() == 1


@pytest.mark.slow
def test_less_motion_is_respected(server: ServerProcess, browser: Any) -> None:
    wishes = {"no-preference": "call", "reduce": "none"}
    # The pages are open before the alarm, which lasts as long as the stream.
    pages = {wish: Watched(browser, server.url, reduced_motion=wish).page for wish in wishes}
    for page in pages.values():
        page.get_by_role("status").get_by_text("Connected").wait_for()
    sending = sender(server, "moving", 30, 1.0, seed=2, offset_ms=-300)
    sending.start()
    for wish, animation in wishes.items():
        shape = ".stream.alarm .shape"
        pages[wish].locator(shape).first.wait_for()
        shown = f"getComputedStyle(document.querySelector('{shape}')).animationName"
        assert pages[wish].evaluate(shown) == animation
        pages[wish].close()
    sending.join(PATIENCE_SECONDS)


def test_the_login_in_a_browser(bundle_path: Path, browser: Any) -> None:
    with serving(bundle_path, environment={"CAVSYNC_TOKEN": TOKEN}) as server:
        page = browser.new_context().new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        page.goto(server.url)
        for word, wanted in (("wrong", "Wrong token"), (TOKEN, "No stream yet")):
            page.get_by_label("Token").fill(word)
            page.get_by_role("button", name="Log in").click()
            page.get_by_text(wanted).wait_for()
        page.get_by_role("status").get_by_text("Connected").wait_for()
        # A WebSocket of the page's own origin carries the cookie; a stranger's page gets none (see test_guard).
        kind = page.evaluate(
            """() => new Promise((resolve) => { const socket = new WebSocket(`ws://${location.host}/v1/streams/own`);
            socket.onopen = () => socket.send('{"type": "start"}'); socket.onclose = () => resolve('closed');
            socket.onmessage = (message) => resolve(JSON.parse(message.data).kind); })"""
        )
        assert kind == "ready"
        other = browser.new_context().new_page()
        other.set_default_timeout(1000 * PATIENCE_SECONDS)
        other.goto(f"{server.url}/?token={TOKEN}")
        other.get_by_role("status").get_by_text("Connected").wait_for()
        assert "token" not in other.url
        assert server.stop() == 0
