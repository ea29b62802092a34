"""Prometheus metrics of watched streams. Needs prometheus_client (the extra `serve`)."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from cavsync.deploy.live.sinks.protocol import LiveSink
from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.metrics import SyncMetrics
from cavsync.deploy.verdict.records import SyncScore
from cavsync.errors import ConfigError

STATUS_GAUGES = {
    "cavsync_lag_seconds": ("lag_seconds", "How far the last decision is behind the live edge."),
    "cavsync_dropped_seconds": ("dropped_seconds", "Stream time that the full queue has dropped so far."),
    "cavsync_reconnects": ("reconnects", "Connections after the first."),
}


class PrometheusSink(LiveSink):
    """`SyncMetrics`, and gauges of lag, dropped time and reconnections, of every stream that uses the sink.

    Events are not exported: Prometheus' rules derive alerts from the metrics. The last values stay until the server
    ends.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.metrics = SyncMetrics(registry)
        self._gauges = {
            field: Gauge(name, text, ["stream"], registry=registry) for name, (field, text) in STATUS_GAUGES.items()
        }

    def on_decision(self, source: str, score: SyncScore) -> None:
        """Record the decision."""
        self.metrics.observe(source, score)

    def on_status(self, source: str, status: LiveStatus) -> None:
        """Record lag, dropped time and reconnections."""
        for field, gauge in self._gauges.items():
            value = getattr(status, field)
            gauge.labels(source).set(float("nan") if value is None else value)


class MetricsServer:
    """HTTP server of a registry's `/metrics` on 127.0.0.1; `port` is the actual port, also where 0 was requested.

    Raises:
        ConfigError: the port is in use or not permitted.
    """

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        try:
            self._server: Any
            self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=registry)
        except OSError as error:
            raise ConfigError(f"metrics cannot be served on port {port} ({error.strerror}): give another one") from None
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)
