"""Sinks for the decisions, events and status of a live stream.

Public through `cavsync.deploy.live`: the names below. `prometheus.PrometheusSink` needs prometheus_client.
"""

from cavsync.deploy.live.sinks.protocol import CallbackSink, LiveSink
from cavsync.deploy.live.sinks.text import CsvSink, JsonLinesSink, VttSink
from cavsync.deploy.live.sinks.webhook import WebhookSink

__all__ = ["CallbackSink", "CsvSink", "JsonLinesSink", "LiveSink", "VttSink", "WebhookSink"]
