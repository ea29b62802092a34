"""Live sources: reading, one continuous stream time, queueing, scoring and reporting while they play.

Public: the names below.
"""

from cavsync.deploy.live.address import POLICIES, Address, parse_address
from cavsync.deploy.live.sinks import CallbackSink, CsvSink, JsonLinesSink, LiveSink, VttSink, WebhookSink
from cavsync.deploy.live.status import LiveStatus
from cavsync.deploy.live.watcher import Watcher

__all__ = [
    "POLICIES",
    "Address",
    "CallbackSink",
    "CsvSink",
    "JsonLinesSink",
    "LiveSink",
    "LiveStatus",
    "VttSink",
    "Watcher",
    "WebhookSink",
    "parse_address",
]
