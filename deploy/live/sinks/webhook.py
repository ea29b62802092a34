"""POST events, and decisions if asked, as JSON: from a thread of its own, so that no server ever delays a score."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.redact import redact
from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.sinks.jsonl import json_line
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError

log = logging.getLogger(__name__)

# Too many requests, and a server that had to wait for us: both say "later", other 4xx say "never".
LATER_STATUSES = (408, 425, 429)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        """A redirected POST would arrive as an empty GET: that is a failure, not a delivery."""


class WebhookSink:
    """Deliver in order, each message until the server takes it or `max_tries` are used up.

    Messages that found no room, or were given up, are counted in `num_lost` and logged, never lost silently.

    Args:
        url: http or https address.
        decisions: post every decision as well.
        timeout_seconds: for each try.
        max_tries: tries per message; 4xx answers are not tried again, except those that say "later".
        capacity: messages that may wait; a full queue loses the oldest.
        close_seconds: how long `close` waits for what is left.
        backoff: the waits between tries.

    Raises:
        ConfigError: not such an address.
    """

    def __init__(
        self,
        url: str,
        *,
        decisions: bool = False,
        timeout_seconds: float = 5.0,
        max_tries: int = 6,
        capacity: int = 1000,
        close_seconds: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{redact(url)} is no webhook: give an http:// or https:// address")
        self._url = url
        self._decisions = decisions
        self._timeout_seconds = timeout_seconds
        self._max_tries = max_tries
        self._capacity = capacity
        self._close_seconds = close_seconds
        self._backoff = backoff or Backoff()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._waiting: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._given_up = threading.Event()
        self.num_sent = 0
        self.num_lost = 0
        self._thread = threading.Thread(target=self._run, name="cavsync webhook", daemon=True)
        self._thread.start()

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Post it, if decisions were asked for."""
        if self._decisions:
            self._put({"kind": "window", "source": source, **score.to_dict()})

    def on_event(self, source: str, change: EventChange) -> None:
        """Post it."""
        self._put({"kind": "event", "source": source, **change.to_dict()})

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Status is not posted: it comes every few seconds and asks for nothing."""

    def close(self) -> None:
        """Deliver what is left, for `close_seconds` at most."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(self._close_seconds)
        self._given_up.set()
        self._thread.join(0.1)
        with self._changed:
            for _ in range(len(self._waiting)):
                self._lose("the stream is over")
            self._waiting.clear()
        if self.num_lost:
            log.error("webhook %s: %d messages were sent, %d lost", redact(self._url), self.num_sent, self.num_lost)

    def _put(self, item: dict[str, Any]) -> None:
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._lose("too many wait")
            self._waiting.append(json_line(item).encode())
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._given_up.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if not self._waiting:
                    return
                body = self._waiting.popleft()
            self._deliver(body)

    def _deliver(self, body: bytes) -> None:
        self._backoff.reset()
        while True:
            why, is_worth_another = self._post(body)
            if why is None:
                self.num_sent += 1
                return
            wait_seconds = self._backoff.next_seconds()
            if not is_worth_another or self._backoff.tries >= self._max_tries or self._given_up.wait(wait_seconds):
                with self._changed:
                    self._lose(why)
                return

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Why it failed (None if it did not), and whether another try may help."""
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as answer:
                answer.read(0)
            return None, False
        except urllib.error.HTTPError as error:
            error.close()
            return f"the server answers {error.code}", error.code >= 500 or error.code in LATER_STATUSES
        except (OSError, ValueError, urllib.error.URLError) as error:
            return redact(str(getattr(error, "reason", error))), True

    def _lose(self, why: str) -> None:
        self.num_lost += 1
        # One line for the first and for each hundredth: a server that is down must not fill a disk with complaints.
        level = logging.ERROR if self.num_lost % 100 == 1 else logging.DEBUG
        log.log(level, "webhook %s: message %d lost (%s)", redact(self._url), self.num_lost, why)
