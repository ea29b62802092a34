"""The sink that POSTs events, and optionally decisions, as JSON; its own thread keeps servers from delaying scoring."""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from cavsync.deploy.live.backoff import Backoff
from cavsync.deploy.live.sinks.protocol import LiveSink
from cavsync.deploy.sinks.text import json_text, window_object
from cavsync.deploy.verdict.events import EventChange
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError
from cavsync.file_names import redact

log = logging.getLogger(__name__)

# 4xx answers that ask to retry later (request timeout, too early, too many requests); the others are final.
RETRY_STATUSES = (408, 425, 429)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **options: Any) -> None:
        """Refuse redirects: a redirected POST would arrive as a GET without a body."""


class WebhookSink(LiveSink):
    """Delivers messages in order, retrying each until the server accepts it or `max_tries` is reached.

    The status is not posted: it changes every few seconds and needs no action.
    Messages that are given up or dropped from a full queue are counted in `num_lost` and logged.

    Args:
        url: http or https address.
        decisions: post every decision too.
        timeout_seconds: time-out of each try.
        max_tries: tries per message; 4xx answers other than `RETRY_STATUSES` are not retried.
        capacity: largest number of queued messages; a full queue drops the oldest.
        close_seconds: how long `close` waits for the queued messages to be sent.
        backoff: waits between tries.

    Raises:
        ConfigError: `url` is not an http or https address.
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
            raise ConfigError(f"{redact(url)} is not a webhook address: give an http:// or https:// address")
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
        """Queue the decision, if decisions are posted."""
        if self._decisions:
            self._put(window_object(source, score))

    def on_event(self, source: str, change: EventChange) -> None:
        """Queue the event."""
        self._put({"kind": "event", "source": source, **change.to_dict()})

    def close(self) -> None:
        """Deliver the queued messages for at most `close_seconds`, then drop the rest."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(self._close_seconds)
        self._given_up.set()
        self._thread.join(0.1)
        with self._changed:
            for _ in range(len(self._waiting)):
                self._lose("the stream ended")
            self._waiting.clear()
        if self.num_lost:
            log.error("webhook %s: %d messages were sent, %d lost", redact(self._url), self.num_sent, self.num_lost)

    def _put(self, item: dict[str, Any]) -> None:
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._lose("the queue is full")
            self._waiting.append(f"{json_text(item)}\n".encode())
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
            why, may_retry = self._post(body)
            if why is None:
                self.num_sent += 1
                return
            wait_seconds = self._backoff.next_seconds()
            if not may_retry or self._backoff.tries >= self._max_tries or self._given_up.wait(wait_seconds):
                with self._changed:
                    self._lose(why)
                return

    def _post(self, body: bytes) -> tuple[str | None, bool]:
        """Return the reason of a failure (None on success), and whether a retry may help."""
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as answer:
                answer.read(0)
            return None, False
        except urllib.error.HTTPError as error:
            error.close()
            return f"the server answers {error.code}", error.code >= 500 or error.code in RETRY_STATUSES
        except (OSError, ValueError, urllib.error.URLError) as error:
            return redact(str(getattr(error, "reason", error))), True

    def _lose(self, why: str) -> None:
        self.num_lost += 1
        # Only the first and every hundredth loss is an error, so that a dead server does not flood the log.
        level = logging.ERROR if self.num_lost % 100 == 1 else logging.DEBUG
        log.log(level, "webhook %s: message %d lost (%s)", redact(self._url), self.num_lost, why)
