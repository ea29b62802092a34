"""`cavsync watch`: score a live source as it plays, one JSON line per decision."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cavsync.cli.errors import end_by_signal
from cavsync.cli.options import key_values
from cavsync.cli.scoring import bundle_option, scoring_options

if TYPE_CHECKING:
    from cavsync.deploy import Bundle, ScoringOptions
    from cavsync.deploy.live import LiveSink, Watcher
    from cavsync.deploy.runtime.engine_keywords import EngineKeywords

FILE = click.Path(dir_okay=False, path_type=Path)
POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command("watch")
@click.argument("url")
@bundle_option
@click.option("--json", "json_out", metavar="FILE|-", default="-", show_default=True,
              help="Write JSON lines: decisions (`kind` is window), events and status. "
              "An existing file is appended to.")  # fmt: skip
@click.option(
    "--csv", "csv_out", type=FILE, help="Write a CSV table of the decisions. An existing file is appended to."
)
@click.option("--vtt", "vtt_out", type=FILE, help="Write WebVTT metadata cues to a new file.")
@click.option("--webhook", metavar="URL", help="POST every event as JSON to this URL.")
@click.option("--webhook-decisions", is_flag=True, help="With --webhook: also POST every decision.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), metavar="N",
              help="Serve Prometheus metrics on 127.0.0.1:N.")  # fmt: skip
@scoring_options
@click.option("--begin-after", type=click.IntRange(min=1), default=2, show_default=True,
              help="Consecutive decisions that begin an event.")  # fmt: skip
@click.option("--end-after", type=click.IntRange(min=1), default=3, show_default=True,
              help="Consecutive decisions that end an event.")  # fmt: skip
@click.option("--queue-seconds", type=POSITIVE, default=10.0, show_default=True,
              help="Length of stream that may wait to be scored.")  # fmt: skip
@click.option("--policy", type=click.Choice(["block", "drop_oldest"]),
              help="What a full queue does: block makes the source wait, drop_oldest drops and counts the oldest "
              "frames and audio. By default block for files, pipes and HLS, else drop_oldest.")  # fmt: skip
@click.option("--reconnect/--no-reconnect", default=True, show_default=True,
              help="Reconnect when a live source breaks or ends.")  # fmt: skip
@click.option(
    "--max-tries", type=click.IntRange(min=1), help="Give up after this many consecutive failures; by default never."
)
@click.option("--timeout-seconds", type=POSITIVE,
              help="Time without data after which a live source counts as lost; by default 5 to 15 s, "
              "depending on the protocol.")  # fmt: skip
@click.option("--duration-seconds", type=POSITIVE, help="Stop after this much of the stream.")
@click.option("--status-seconds", type=POSITIVE, default=5.0, show_default=True, help="Time between two status lines.")
@click.option("--option", "ffmpeg_options", multiple=True, callback=key_values, metavar="KEY=VALUE",
              help="FFmpeg option for opening URL, such as rtsp_transport=udp. May be repeated.")  # fmt: skip
def watch(
    url: str,
    bundle: Path | None,
    json_out: str,
    csv_out: Path | None,
    vtt_out: Path | None,
    webhook: str | None,
    webhook_decisions: bool,
    metrics_port: int | None,
    ffmpeg_options: dict[str, Any],
    scoring: ScoringOptions,
    engine: EngineKeywords,
    **options: Any,
) -> None:
    """Score URL as it plays; write a JSON line per decision, per event that begins or ends, and per status.

    URL is rtsp://, srt://, udp:// (MPEG-TS), http(s):// (also HLS, .m3u8), a file, - for standard input, or a capture
    device: v4l2:///dev/video0?audio=alsa:default, avfoundation://0:1, dshow://video=NAME:audio=NAME. Passwords in URL
    are never shown. A positive offset means that the audio is early (ITU-R BT.1359). After Ctrl-C or SIGTERM everything
    is written before the command ends (exit status 130 or 143). Exit status 1: the source or the bundle could not be
    used, or a file is truncated.
    """
    from cavsync.cli.result_files import require_result_files
    from cavsync.deploy import Bundle
    from cavsync.deploy.live import Watcher, parse_address
    from cavsync.deploy.live.reader import READER_THREAD

    if webhook_decisions and webhook is None:
        raise click.UsageError("--webhook-decisions needs --webhook.")
    address = parse_address(url, {name: str(value) for name, value in ffmpeg_options.items()})
    if address.kind == "pipe" and sys.stdin.isatty():
        raise click.UsageError("- reads standard input, which is a terminal: pipe a stream into it.")
    require_result_files([None if json_out == "-" else Path(json_out), csv_out, vtt_out], [url])
    opened = Bundle.open(bundle, **engine)
    with ExitStack() as stack:
        sinks: list[LiveSink] = []
        if metrics_port is not None:
            sink, opened = _metrics(metrics_port, opened, stack)
            sinks.append(sink)
        watcher = stack.enter_context(Watcher(address, opened, scoring, **options))
        for sink in (*sinks, *_sinks(json_out, csv_out, vtt_out, webhook, webhook_decisions, address.shown)):
            watcher.add_sink(sink)
        with _ended_by_signals(watcher) as received:
            watcher.run()
    if received:
        # A thread that FFmpeg holds until its time-out may come back while Python shuts down, and crash it.
        is_held = any(thread.name.startswith(READER_THREAD) for thread in threading.enumerate())
        message = "interrupted" if received[0] == signal.SIGINT else "terminated"
        end_by_signal(received[0], message, at_once=is_held)


def _sinks(
    json_out: str, csv_out: Path | None, vtt_out: Path | None, webhook: str | None, decisions: bool, source: str
) -> Iterator[LiveSink]:
    from cavsync.deploy.live.sinks import CsvSink, JsonLinesSink, VttSink, WebhookSink

    if webhook is not None:
        yield WebhookSink(webhook, decisions=decisions)
    if csv_out is not None:
        yield CsvSink(csv_out)
    yield JsonLinesSink(sys.stdout if json_out == "-" else Path(json_out))
    if vtt_out is not None:
        # Last: it needs a new file, so one left behind because another sink failed would block the next attempt.
        yield VttSink(vtt_out)
    if sys.stderr.isatty() and not (json_out == "-" and sys.stdout.isatty()):
        from cavsync.cli.watch_view import TerminalView

        yield TerminalView(source)
    elif json_out != "-" and not sys.stderr.isatty():
        from cavsync.cli.watch_lines import StatusLines

        yield StatusLines(source)


def _metrics(port: int, opened: Bundle, stack: ExitStack) -> tuple[LiveSink, Bundle]:
    from prometheus_client import CollectorRegistry

    from cavsync.deploy.live.sinks.prometheus import MetricsServer, PrometheusSink
    from cavsync.deploy.metrics import timed

    registry = CollectorRegistry()
    sink = PrometheusSink(registry)
    server = MetricsServer(registry, port)
    stack.callback(server.close)
    click.echo(f"metrics: http://127.0.0.1:{server.port}/metrics", err=True)
    return sink, timed(opened, sink.metrics)


@contextmanager
def _ended_by_signals(watcher: Watcher) -> Iterator[list[int]]:
    """Stop the watcher on Ctrl-C and SIGTERM; a second signal ends the process at once. Yields the signals received."""
    received: list[int] = []

    def on_signal(number: int, frame: object) -> None:
        del frame
        received.append(number)
        watcher.stop()
        for one in handled:
            signal.signal(one, before[one])

    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield received
    finally:
        for number in handled:
            signal.signal(number, before[number])
