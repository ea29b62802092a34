"""Watch a live source: print alarms, decisions, and how the stream is doing.

    python watch_rtsp.py rtsp://camera/1 [BUNDLE]

The address may also be srt://, udp:// (MPEG-TS), http:// (HLS or a file) or the path of a file. Ctrl-C ends the watch.
"""

import sys

from cavsync.deploy import CallbackSink, EventChange, LiveStatus, Watcher


def on_event(change: EventChange) -> None:
    """An alarm begins or ends."""
    print(f"ALARM {change.phase}: {change.state}, up to {change.extreme_ms:.0f} ms", flush=True)


def on_status(status: LiveStatus) -> None:
    """The stream was connected, lost or ended, or some seconds have passed."""
    print(f"{status.phase}: {status.message}, {status.reconnects} reconnections", flush=True)


sinks = [CallbackSink(event=on_event, status=on_status)]
bundle = sys.argv[2] if len(sys.argv) > 2 else None  # None: the shipped model
with Watcher(sys.argv[1], bundle, sinks=sinks, max_tries=5) as watcher:
    for score in watcher:
        print(f"{score.time_seconds:8.1f} s  {score.state:12}  {score.audio_offset_ms} ms", flush=True)
